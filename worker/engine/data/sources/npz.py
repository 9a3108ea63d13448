"""NumPy archives: `X` and `y`, or `X_train`, `y_train` and the same for val and test. Nothing is ever unpickled."""

import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from service.errors import ImportRefusedError
from worker.engine.data.raw import RawData

MAX_BYTES = 20 * 2**30
PARTS = (("train", 0), ("val", 1), ("test", 2))


def load_npz(path: Path) -> RawData:
    """Images (N,H,W), (N,H,W,C) or features (N,F) with one label each; ImportRefusedError says what does not fit."""
    arrays = _read(path)
    if {"X", "y"} <= arrays.keys():
        return build(arrays["X"], arrays["y"])
    given = [(name, number) for name, number in PARTS if {f"X_{name}", f"y_{name}"} <= arrays.keys()]
    if not given or given[0][0] != "train":
        raise ImportRefusedError(
            "npz-arrays", f"no arrays `X` and `y` (or `X_train`, `y_train`); found {sorted(arrays)}"
        )
    xs, ys = [arrays[f"X_{name}"] for name, _ in given], [arrays[f"y_{name}"] for name, _ in given]
    if len({x.shape[1:] for x in xs}) > 1:
        raise ImportRefusedError("npz-shape", "the splits' samples differ in shape")
    split = np.concatenate([np.full(len(y), number, np.uint8) for y, (_, number) in zip(ys, given, strict=True)])
    return build(np.concatenate(xs), np.concatenate(ys), split)


def _read(path: Path) -> dict[str, NDArray[np.generic]]:
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(member.file_size for member in archive.infolist()) > MAX_BYTES:
                raise ImportRefusedError("archive-bomb", f"the arrays are larger than {MAX_BYTES >> 30} GiB")
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except ImportRefusedError:
        raise
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, NotImplementedError, MemoryError) as error:
        raise ImportRefusedError("npz-malformed", f"not a NumPy archive of plain arrays: {error}") from error


def build(x: NDArray[np.generic], y: NDArray[np.generic], split: NDArray[np.uint8] | None = None) -> RawData:
    """Raw data out of two arrays; classes are the sorted labels."""
    if y.ndim != 1 or len(y) != len(x) or not len(y):
        raise ImportRefusedError(
            "npz-shape", f"`X` has shape {x.shape} and `y` {y.shape}: one label a sample is needed"
        )
    if y.dtype.kind == "f" and not np.all(np.isfinite(y.astype(float)) & (y.astype(float) % 1 == 0)):
        raise ImportRefusedError(
            "labels-not-classes", "`y` holds numbers that are not whole: this is no classification"
        )
    if y.dtype.kind not in "iufbUS" or x.dtype.kind not in "iufb":
        raise ImportRefusedError("npz-dtype", f"`X` is {x.dtype} and `y` is {y.dtype}: numbers and labels are needed")
    labels, numbers = np.unique(y, return_inverse=True)
    names = [label.decode(errors="replace") if isinstance(label, bytes) else _plain(label) for label in labels.tolist()]
    packed = _images(x) if x.ndim in (3, 4) else _features(x)
    return RawData(x=packed, y=numbers.astype(np.int64), classes=names, split=split, dtype=str(x.dtype))


def _plain(label: object) -> str:
    return str(int(label)) if isinstance(label, float) else str(label)


def _images(x: NDArray[np.generic]) -> NDArray[np.uint8]:
    images = x[..., None] if x.ndim == 3 else x
    if images.shape[-1] not in (1, 3) and images.shape[1] in (1, 3):
        images = np.moveaxis(images, 1, -1)
    if images.shape[-1] not in (1, 3):
        raise ImportRefusedError("npz-shape", f"images of shape {x.shape[1:]} are neither grey nor RGB")
    if images.dtype == np.uint8:
        return images.astype(np.uint8)
    values = images.astype(np.float64)
    if not np.isfinite(values).all() or values.min() < 0 or values.max() > 255:
        raise ImportRefusedError("npz-range", "image values must lie in 0..255, or in 0..1 as decimal numbers")
    scale = 255.0 if x.dtype.kind == "f" and values.max() <= 1 else 1.0
    return np.round(values * scale).astype(np.uint8)


def _features(x: NDArray[np.generic]) -> NDArray[np.float32]:
    if x.ndim != 2 or not x.shape[1]:
        raise ImportRefusedError("npz-shape", f"`X` has shape {x.shape}: (samples, features) or images are needed")
    features = x.astype(np.float32)
    bad = np.flatnonzero(~np.isfinite(features).all(0))
    if len(bad):
        raise ImportRefusedError("features-not-finite", f"features {bad[:20].tolist()} hold NaN or infinity")
    return features
