"""The `import` job: source -> raw data -> duplicates -> splits -> profile -> packed dataset."""

import hashlib
from collections.abc import Generator, Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from service.errors import ImportRefusedError
from service.events import DatasetPacked, DatasetProfiled, Event, FileSaved, Log, Phase, Progress, Stopped
from service.reports.dataset import SPLITS, DatasetContent
from service.specs.dataset import ImportOptions, ImportSpec
from service.states import StopReason
from worker.engine.context import RunContext
from worker.engine.data.packed import write_packed
from worker.importing.checks.dataset_view import DatasetView
from worker.importing.checks.profile import make_profile
from worker.importing.coincidences import are_coincidences
from worker.importing.duplicates import SIDE, Duplicates, find_duplicates, thumbnails
from worker.importing.raw_data import RawData
from worker.importing.readers import read_source
from worker.importing.splits import TRAIN, draw_splits
from worker.importing.statistics import describe

LOGGED, NAMED = 200, 10
"""Corrupt files that are logged, and named where they refuse the import."""


def run_import(spec: ImportSpec, context: RunContext) -> Iterator[Event]:
    """Yields progress, the packed files and the profile; raises ImportRefusedError with the hazard's own code."""
    for event in _import(spec, context):
        yield event
        if (reason := context.stop()) is not None:
            yield Stopped(reason)
            return
    yield Stopped(StopReason.COMPLETED)


def _import(spec: ImportSpec, context: RunContext) -> Generator[Event, None, None]:
    options = spec.source.options
    yield Phase("reading")
    raw = yield from read_source(spec.source, context)
    yield from _log_corrupt(raw)
    refusal = _refusal(raw, options)
    if refusal is not None and len(raw.y) == 0:
        raise refusal
    yield Phase("profiling")
    yield Progress(0.75)
    duplicates = _duplicates(raw)
    if options.drop_duplicates:
        duplicates = _drop_copies(raw, duplicates)
    split_N = draw_splits(raw.y, options.split, raw.split, None if duplicates.by_chance else duplicates.near_N)
    if not (split_N == TRAIN).any():
        given = ", ".join(SPLITS[number] for number in np.unique(split_N))
        why = f"all samples are of {given}; nothing can be learned without train"
        raise refusal or ImportRefusedError("split-no-train", why)
    if raw.impute is not None:
        raw.notes += raw.impute(raw.x, split_N)
    dataset = DatasetView(raw, split_N, describe(raw, split_N), duplicates)
    profile = make_profile(dataset)
    if refusal is not None:
        yield DatasetProfiled(profile)
        raise refusal
    yield Phase("packing")
    yield Progress(0.9)
    content = DatasetContent(hash=_content_hash(raw, split_N), profile=profile)
    for path in write_packed(context.scratch / "packed", raw.x, raw.y, split_N, dataset.meta):
        yield FileSaved("dataset", path.name, path)
    counts = ", ".join(f"{count:,} {name}" for name, count in dataset.meta.counts.items())
    yield Log(f"{len(raw.y):,} samples in {len(raw.classes)} classes: {counts}")
    for finding in profile.findings:
        yield Log(f"{finding.name}: {finding.explanation}", "info" if finding.severity == "info" else "warning")
    yield DatasetPacked(content)
    yield Progress(1.0)


def _log_corrupt(raw: RawData) -> Iterator[Event]:
    for file in raw.corrupt[:LOGGED]:
        yield Log(f"left out: {file['file']}: {file['reason']}", "warning")


def _refusal(raw: RawData, options: ImportOptions) -> ImportRefusedError | None:
    """None when there are classes, and every sample could be read or the user accepts that some are left out."""
    if raw.corrupt and not options.drop_corrupt:
        named = "; ".join(f"{file['file']}: {file['reason']}" for file in raw.corrupt[:NAMED])
        more = f"; and {len(raw.corrupt) - NAMED:,} more" if len(raw.corrupt) > NAMED else ""
        return ImportRefusedError(
            "corrupt-files",
            f"{len(raw.corrupt):,} of {len(raw.corrupt) + len(raw.y):,} samples cannot be read; repair them, or accept "
            "that they are left out with the option `drop_corrupt`, or by POST /v1/datasets/{id}/revisions with "
            f"`accept_corrupt`, for which an upload is kept for a day. {named}{more}",
        )
    if len(np.unique(raw.y)) < 2:
        merged = "".join(f". {note.explanation}" for note in raw.notes if note is not None and note.rule == "P28")
        told = f"fewer than two classes have samples; there is nothing to tell apart{merged}"
        return ImportRefusedError("one-class", told)
    return None


def _duplicates(raw: RawData) -> Duplicates:
    """Which samples are the same, by the hashes and thumbnails that are computed where the reader had none."""
    raw.row_hashes = raw.row_hashes or _hash_rows(raw.x)
    if raw.x.dtype == np.uint8 and raw.thumbs is None:
        raw.thumbs = thumbnails(np.asarray(raw.x, np.uint8))
    # Smaller images have too little detail for a perceptual hash: of 28 x 28 all trousers would be one.
    has_detail = raw.is_image and min(raw.x.shape[1:3]) >= SIDE
    duplicates = find_duplicates(raw.file_hashes or raw.row_hashes, raw.thumbs if has_detail else None)
    return replace(duplicates, by_chance=not raw.is_image and are_coincidences(raw.x, raw.y, duplicates))


def _hash_rows(x: NDArray[np.generic]) -> list[str]:
    """SHA-256 of each row."""
    return [hashlib.sha256(x[index].tobytes()).hexdigest() for index in range(len(x))]


def _drop_copies(raw: RawData, duplicates: Duplicates) -> Duplicates:
    """Keeps one of each group of exact duplicates, a given test sample before its copies."""
    rank = np.zeros(len(raw.y)) if raw.split is None else -raw.split.astype(np.float64)
    order = np.lexsort((np.arange(len(raw.y)), rank))
    _, first = np.unique(duplicates.exact_N[order], return_index=True)
    keep_N = np.zeros(len(raw.y), bool)
    keep_N[order[first]] = True
    raw.keep(keep_N)
    return Duplicates(np.arange(int(keep_N.sum())), duplicates.near_N[keep_N])


def _content_hash(raw: RawData, split_N: NDArray[np.uint8]) -> str:
    """SHA-256 over samples, labels, class names and split: the same data split the same way is the same dataset."""
    digest = hashlib.sha256("\0".join(raw.classes).encode())
    digest.update(str((raw.x.shape, raw.x.dtype, raw.feature_names)).encode())
    digest.update("".join(_hash_rows(raw.x) if raw.impute is not None else raw.row_hashes).encode())
    digest.update(raw.y.tobytes())
    digest.update(split_N.tobytes())
    return digest.hexdigest()
