"""The profile of a dataset: what was seen in it, and what to do about it."""

from collections.abc import Callable

from service.reports.dataset import SPLITS, DatasetMeta, Profile
from service.reports.finding import SEVERITIES, Finding
from worker.importing.checks import duplicate_checks, label_checks, value_checks
from worker.importing.checks.dataset_view import DatasetView
from worker.importing.findings import SHOWN, finding

MAX_LISTED = 1000
MAX_SIZES = 200
PIECE_ROWS = 4096
CHECKS: tuple[Callable[[DatasetView], Finding | None], ...] = (
    value_checks.check_scale, label_checks.check_empty, label_checks.check_missing, label_checks.check_imbalance,
    duplicate_checks.check_exact,
    duplicate_checks.check_near, duplicate_checks.check_leakage, duplicate_checks.check_contradictions,
    label_checks.check_few_samples, label_checks.check_sorted, value_checks.check_constant,
    value_checks.check_copied_features, value_checks.check_target_leak, value_checks.check_blank,
    value_checks.check_aspect,
)  # fmt: skip


def make_profile(dataset: DatasetView) -> Profile:
    """Everything that the import saw, the gravest findings first."""
    raw, meta = dataset.raw, dataset.meta
    noted = [*raw.notes, *(check(dataset) for check in CHECKS), _check_corrupt(dataset)]
    findings = [finding for finding in noted if finding is not None]
    whole = {f"{meta.shape[1]}x{meta.shape[0]}": len(raw.y)} if dataset.raw.is_image else {}
    mode = {"L" if meta.shape[-1] == 1 else "RGB": len(raw.y)} if dataset.raw.is_image else {}
    return Profile(
        meta=meta,
        class_counts={
            split: dict(zip(raw.classes, dataset.counts(split).tolist(), strict=True)) for split in SPLITS
        },
        dtype=raw.dtype,
        value_range=raw.value_range or _range(dataset),
        sizes=_most(raw.sizes or whole),
        modes=raw.modes or mode,
        corrupt=raw.corrupt[:MAX_LISTED],
        ignored=raw.ignored[:MAX_LISTED],
        duplicates=duplicate_checks.count_duplicates(dataset),
        duplicate_groups=duplicate_checks.name_groups(dataset),
        findings=sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity), reverse=True),
    )  # fmt: skip


def unread_profile(corrupt: list[dict[str, str]], ignored: list[dict[str, str]]) -> Profile:
    """What is known of pictures whose layout was refused: their files."""
    meta = DatasetMeta(modality="image", classes=[], shape=[], counts={}, mean=[], std=[])
    return Profile(
        meta=meta, class_counts={}, dtype="uint8", value_range=(0.0, 0.0), corrupt=corrupt[:MAX_LISTED],
        ignored=ignored[:MAX_LISTED],
    )  # fmt: skip


def _check_corrupt(dataset: DatasetView) -> Finding | None:
    """P17: what was left out."""
    corrupt = dataset.raw.corrupt
    if not corrupt:
        return None
    return finding(
        "P17", "warning", f"{len(corrupt):,} files could not be read and are left out.",
        "Repair or delete them.", count=len(corrupt), samples=len(dataset.raw.y),
        examples=[f"{file['file']}: {file['reason']}" for file in corrupt[:SHOWN]],
    )  # fmt: skip


def _range(dataset: DatasetView) -> tuple[float, float]:
    x = dataset.raw.x
    pieces = [x[start : start + PIECE_ROWS] for start in range(0, len(x), PIECE_ROWS)]
    return (min(float(piece.min()) for piece in pieces), max(float(piece.max()) for piece in pieces))


def _most(sizes: dict[str, int]) -> dict[str, int]:
    """The commonest sizes; the rest as `other`."""
    if len(sizes) <= MAX_SIZES:
        return sizes
    kept = dict(sorted(sizes.items(), key=lambda item: -item[1])[:MAX_SIZES])
    return kept | {"other": sum(sizes.values()) - sum(kept.values())}
