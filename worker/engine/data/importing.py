"""The `import` job: source -> raw data -> splits -> profile -> packed dataset."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import assert_never

import numpy as np
from numpy.typing import NDArray

from service.errors import ImportRefusedError
from service.events import DatasetPacked, Event, FileSaved, Log, Phase, Progress, Stopped
from service.reports.dataset import SPLITS, DatasetContent, DatasetMeta, Profile
from service.specs.dataset import (
    BuiltinSource,
    DatasetSource,
    ImportOptions,
    ImportSpec,
    PathSource,
    TorchvisionSource,
    UploadSource,
)
from service.states import StopReason
from worker.engine.context import RunContext
from worker.engine.data.packed import write_packed
from worker.engine.data.raw import RawData
from worker.engine.data.sources.builtin import load_digits
from worker.engine.data.sources.idx import CLASSES, find_folder, has_idx, load_idx
from worker.engine.data.sources.npz import load_npz
from worker.engine.data.sources.table import load_csv
from worker.engine.data.splits import draw_splits

MOMENT_ROWS = 4096


def run_import(spec: ImportSpec, context: RunContext) -> Iterator[Event]:
    """Yields progress, the packed files and the profile; raises ImportRefusedError with the hazard's own code."""
    yield Phase("reading")
    context.scratch.mkdir(parents=True, exist_ok=True)
    raw = read_source(spec.source, context)
    yield Progress(0.8)
    yield Phase("packing")
    split_N = draw_splits(raw.y, spec.source.options.split, raw.split)
    meta = describe(raw, split_N)
    for path in write_packed(context.scratch / "packed", raw.x, raw.y, split_N, meta):
        yield FileSaved("dataset", path.name, path)
    yield Log(f"{len(raw.y):,} samples in {len(raw.classes)} classes: " + _counts_in_words(meta))
    yield DatasetPacked(DatasetContent(hash=content_hash(raw, split_N), profile=profile(raw, split_N, meta)))
    yield Progress(1.0)
    yield Stopped(StopReason.COMPLETED)


def read_source(source: DatasetSource, context: RunContext) -> RawData:
    """Raw data of any source."""
    match source:
        case BuiltinSource():
            return load_digits()
        case TorchvisionSource(name=name) if name in CLASSES:
            roots = [allowed(Path(source.path), context)] if source.path else list(context.data_roots)
            folder = find_folder(name, roots)
            if folder is None:
                places = ", ".join(str(root) for root in roots) or "none is set"
                raise ImportRefusedError("files-not-found", f"no files of {name} under the data roots ({places})")
            return load_idx(folder, CLASSES[name])
        case TorchvisionSource(name=name):
            known = ", ".join(CLASSES)
            raise ImportRefusedError("source-unknown", f"torchvision's {name} cannot be imported; known: {known}")
        case PathSource():
            path = allowed(Path(source.path), context)
            return read_path(path, path.name, source.options)
        case UploadSource():
            if context.upload is None:
                raise ImportRefusedError("files-not-found", "the uploaded file is gone; upload it again")
            return read_path(context.upload, source.filename, source.options)
        case _:
            assert_never(source)


def read_path(path: Path, name: str, options: ImportOptions) -> RawData:
    """A file or folder by what it is: IDX files, npz or CSV."""
    if not path.exists():
        raise ImportRefusedError("files-not-found", f"{name} does not exist")
    if path.is_dir() and has_idx(path):
        return load_idx(path)
    if name.lower().endswith(".npz"):
        return load_npz(path)
    if name.lower().endswith((".csv", ".csv.txt")):
        return load_csv(path, options.label_column)
    raise ImportRefusedError("source-unknown", f"{name} is neither an npz, a CSV nor a folder of IDX files")


def allowed(path: Path, context: RunContext) -> Path:
    """The resolved path; ImportRefusedError unless it lies under a data root."""
    resolved = path.resolve()
    if not any(resolved.is_relative_to(root.resolve()) for root in context.data_roots):
        raise ImportRefusedError("path-not-allowed", f"{path} is not under a data root (TRAINWRIGHT_DATA_ROOTS)")
    return resolved


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
    )


def _moments(x: NDArray[np.generic], rows: NDArray[np.int64]) -> tuple[list[float], list[float]]:
    """Mean and standard deviation over the last axis, in bounded memory."""
    scale = 255.0 if x.ndim == 4 else 1.0
    total, squares, count = np.zeros(x.shape[-1]), np.zeros(x.shape[-1]), 0
    for start in range(0, len(rows), MOMENT_ROWS):
        flat = x[rows[start : start + MOMENT_ROWS]].reshape(-1, x.shape[-1]).astype(np.float64) / scale
        total, squares, count = total + flat.sum(0), squares + (flat**2).sum(0), count + len(flat)
    mean = total / max(count, 1)
    std = np.sqrt(np.maximum(squares / max(count, 1) - mean**2, 0))
    return mean.tolist(), std.tolist()


def content_hash(raw: RawData, split_N: NDArray[np.uint8]) -> str:
    """SHA-256 over samples, labels, class names and split: the same data split the same way is the same dataset."""
    digest = hashlib.sha256("\0".join(raw.classes).encode())
    for array in (raw.x, raw.y, split_N):
        digest.update(str((array.shape, array.dtype)).encode())
        for start in range(0, len(array), MOMENT_ROWS):
            digest.update(array[start : start + MOMENT_ROWS].tobytes())
    return digest.hexdigest()


def profile(raw: RawData, split_N: NDArray[np.uint8], meta: DatasetMeta) -> Profile:
    """What was seen in the data."""
    counts = {
        name: dict(
            zip(raw.classes, np.bincount(raw.y[split_N == number], minlength=len(raw.classes)).tolist(), strict=True)
        )
        for number, name in enumerate(SPLITS)
    }
    return Profile(
        meta=meta,
        class_counts=counts,
        dtype=raw.dtype,
        value_range=(float(raw.x.min()), float(raw.x.max())),
        sizes=raw.sizes or ({f"{meta.shape[1]}x{meta.shape[0]}": len(raw.y)} if meta.modality == "image" else {}),
        modes=raw.modes or ({"L" if meta.shape[-1] == 1 else "RGB": len(raw.y)} if meta.modality == "image" else {}),
        corrupt=raw.corrupt,
        ignored=raw.ignored,
    )


def _counts_in_words(meta: DatasetMeta) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in meta.counts.items())
