"""The `import` job: source -> raw data -> duplicates -> splits -> profile -> packed dataset."""

import hashlib
from collections.abc import Generator, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from service.errors import ImportRefusedError
from service.events import DatasetPacked, Event, FileSaved, Log, Phase, Progress, Stopped
from service.reports.dataset import SPLITS, DatasetContent, DatasetMeta
from service.specs.dataset import ImportOptions, ImportSpec
from service.states import StopReason
from worker.engine.context import RunContext
from worker.engine.data.packed import write_packed
from worker.importing.checks.dataset_view import Survey
from worker.importing.checks.profile import draw_profile
from worker.importing.duplicates import SIDE, Duplicates, find_duplicates, thumbnails
from worker.importing.npy_rows import keep_rows, open_rows
from worker.importing.raw_data import RawData
from worker.importing.readers import read_source
from worker.importing.splits import draw_splits

MOMENT_ROWS = 1024
NAMED = 10


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
    yield from _accept(raw, options)
    yield Phase("profiling")
    yield Progress(0.75)
    raw, duplicates = _without_copies(raw, *_look_alikes(raw), options)
    split_N = draw_splits(raw.y, options.split, raw.split, duplicates.near_N)
    if raw.fill is not None:
        raw.notes += raw.fill(raw.x, split_N)
    survey = Survey(raw, split_N, describe(raw, split_N), duplicates)
    profile = draw_profile(survey)
    yield Phase("packing")
    yield Progress(0.9)
    content = DatasetContent(hash=content_hash(raw, split_N), profile=profile)
    for path in write_packed(context.scratch / "packed", raw.x, raw.y, split_N, survey.meta):
        yield FileSaved("dataset", path.name, path)
    yield Log(f"{len(raw.y):,} samples in {len(raw.classes)} classes: " + _counts_in_words(survey.meta))
    for finding in profile.findings:
        yield Log(f"{finding.name}: {finding.explanation}", "info" if finding.severity == "info" else "warning")
    yield DatasetPacked(content)
    yield Progress(1.0)


def _accept(raw: RawData, options: ImportOptions) -> Iterator[Event]:
    """Goes on when every sample could be read or the user has accepted that some are left out."""
    for each in raw.corrupt[:200]:
        yield Log(f"left out: {each['file']}: {each['reason']}", "warning")
    if raw.corrupt and not options.drop_corrupt:
        named = "; ".join(f"{each['file']}: {each['reason']}" for each in raw.corrupt[:NAMED])
        more = f"; and {len(raw.corrupt) - NAMED:,} more" if len(raw.corrupt) > NAMED else ""
        raise ImportRefusedError(
            "corrupt-files",
            f"{len(raw.corrupt):,} of {len(raw.corrupt) + len(raw.y):,} samples cannot be read: {named}{more}. Repair "
            "them, or accept that they are left out with the option `drop_corrupt`.",
        )
    if len(np.unique(raw.y)) < 2:
        raise ImportRefusedError("one-class", "fewer than two classes have samples; there is nothing to tell apart")


def _look_alikes(raw: RawData) -> tuple[Duplicates, list[str]]:
    """Duplicates, and the hash of each row."""
    rows = raw.row_hashes or hash_rows(raw.x)
    if raw.x.dtype == np.uint8 and raw.thumbs is None:
        raw.thumbs = thumbnails(np.asarray(raw.x, np.uint8))
    raw.row_hashes = rows
    return find_duplicates(raw.file_hashes or rows, raw.thumbs if is_comparable(raw) else None), rows


def is_comparable(raw: RawData) -> bool:
    """Whether the pictures have detail enough for a perceptual hash: of 28 x 28 all trousers would be one."""
    return raw.x.ndim == 4 and min(raw.x.shape[1:3]) >= SIDE


def hash_rows(x: NDArray[np.generic]) -> list[str]:
    """SHA-256 of each row."""
    return [hashlib.sha256(x[index].tobytes()).hexdigest() for index in range(len(x))]


def _without_copies(
    raw: RawData, duplicates: Duplicates, rows: list[str], options: ImportOptions
) -> tuple[RawData, Duplicates]:
    """Keeps one of each group of exact duplicates when that is asked for: a given test sample before its copies."""
    if not options.drop_duplicates:
        return raw, duplicates
    rank = np.zeros(len(raw.y)) if raw.split is None else -raw.split.astype(np.float64)
    order = np.lexsort((np.arange(len(raw.y)), rank))
    _, first = np.unique(duplicates.exact_N[order], return_index=True)
    keep_N = np.zeros(len(raw.y), bool)
    keep_N[order[first]] = True
    return take(raw, keep_N), Duplicates(np.arange(int(keep_N.sum())), duplicates.near_N[keep_N])


def take(raw: RawData, keep_N: NDArray[np.bool_]) -> RawData:
    """The samples that are kept; a packed array on the disk is thinned out in place."""
    if isinstance(raw.x, np.memmap) and raw.x.filename is not None:
        path = Path(raw.x.filename)
        raw.x.flush()
        keep_rows(path, keep_N)
        x = open_rows(path)
    else:
        x = raw.x[keep_N]
    kept = np.flatnonzero(keep_N)
    raw.x, raw.y = x, raw.y[keep_N]
    raw.split = None if raw.split is None else raw.split[keep_N]
    raw.thumbs = None if raw.thumbs is None else raw.thumbs[keep_N]
    for name in ("names", "file_hashes", "row_hashes"):
        values: list[str] = getattr(raw, name)
        setattr(raw, name, [values[index] for index in kept] if values else [])
    return raw


def describe(raw: RawData, split_N: NDArray[np.uint8]) -> DatasetMeta:
    """Shape, classes, counts, and mean and standard deviation of the train split (channels on the 0-1 scale)."""
    mean, std = _moments(raw.x, np.flatnonzero(split_N == 0))
    return DatasetMeta(
        modality="image" if raw.x.ndim == 4 else "features",
        classes=raw.classes,
        shape=list(raw.x.shape[1:]),
        counts={name: int((split_N == number).sum()) for number, name in enumerate(SPLITS)},
        mean=mean,
        std=std,
        feature_names=raw.feature_names,
        categories=raw.categories,
    )


def _moments(x: NDArray[np.generic], rows: NDArray[np.int64]) -> tuple[list[float], list[float]]:
    """Mean and standard deviation over the last axis, in bounded memory, exact for large numbers too."""
    if not len(rows):
        return [0.0] * x.shape[-1], [1.0] * x.shape[-1]
    step = max(MOMENT_ROWS * 4096 // max(int(np.prod(x.shape[1:])), 1), 1)
    pieces = [rows[start : start + step] for start in range(0, len(rows), step)]
    if x.ndim == 4:
        return _picture_moments(x, pieces)
    flat = (x[piece].astype(np.float64) for piece in pieces)
    total, squares, count = np.zeros(x.shape[-1]), np.zeros(x.shape[-1]), 0
    shift: NDArray[np.float64] | None = None
    for piece in flat:
        shift = piece[0] if shift is None else shift
        moved = piece - shift
        total, squares, count = total + moved.sum(0), squares + (moved**2).sum(0), count + len(moved)
    assert shift is not None
    mean = total / count
    std = np.sqrt(np.maximum(squares / count - mean**2, 0))
    return (mean + shift).tolist(), std.tolist()


def _picture_moments(x: NDArray[np.generic], pieces: list[NDArray[np.int64]]) -> tuple[list[float], list[float]]:
    """Of uint8 pictures on the 0-1 scale, by sums of integers: whole lines at a time are 18 times as fast as pixels."""
    channels, line = x.shape[-1], x.shape[-2] * x.shape[-1]
    total, squares = np.zeros(line, np.uint64), np.zeros(line, np.uint64)
    for piece in pieces:
        lines = x[piece].reshape(-1, line)
        total += lines.sum(0, dtype=np.uint64)
        squares += np.square(lines, dtype=np.uint16).sum(0, dtype=np.uint64)
    count = sum(map(len, pieces)) * x.shape[1] * x.shape[2]
    mean, square = (each.reshape(-1, channels).sum(0) / count for each in (total / 255, squares / 255**2))
    return mean.tolist(), np.sqrt(np.maximum(square - mean**2, 0)).tolist()


def content_hash(raw: RawData, split_N: NDArray[np.uint8]) -> str:
    """SHA-256 over samples, labels, class names and split: the same data split the same way is the same dataset."""
    digest = hashlib.sha256("\0".join(raw.classes).encode())
    digest.update(str((raw.x.shape, raw.x.dtype, raw.feature_names)).encode())
    digest.update("".join(hash_rows(raw.x) if raw.fill is not None else raw.row_hashes).encode())
    digest.update(raw.y.tobytes())
    digest.update(split_N.tobytes())
    return digest.hexdigest()


def _counts_in_words(meta: DatasetMeta) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in meta.counts.items())
