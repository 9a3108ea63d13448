"""NumPy archives: `X` and `y`, or `X_train`, `y_train` and the same for val and test. Nothing is ever unpickled.

Headers are judged before data are read; arrays pass through files in the scratch folder, so that memory is bounded.
"""

import math
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from service.errors import ImportRefusedError
from worker.importing.archives.listing import MAX_BYTES, MAX_RATIO
from worker.importing.archives.zip_archive import is_zip
from worker.importing.arrays.packing import pack_features, pack_images, scan
from worker.importing.imputation import impute
from worker.importing.labels import number_labels
from worker.importing.names import printable
from worker.importing.raw_data import Input, RawData
from worker.importing.splits import TEST, TRAIN, VAL

FAULTS = (
    ArithmeticError, EOFError, KeyError, MemoryError, OSError, RuntimeError, SyntaxError, TypeError, ValueError,
    tokenize.TokenError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip
"""A RuntimeError is an encrypted or patched member; NumPy parses headers with Python's own parser."""
RATIO_FLOOR_BYTES = 2**28
"""Arrays of zeros pack well; only much more than a picture of them is a bomb."""
MAX_MEMBERS = 1000
PIECE_BYTES = 2**22
SAMPLES = ("X", "x", "data", "images", "features")
LABELS = ("y", "Y", "labels", "label", "target", "targets")
PARTS = (("train", TRAIN), ("val", VAL), ("valid", VAL), ("test", TEST))
CLASS_NAMES = ("classes", "class_names", "target_names")
FEATURE_NAMES = ("feature_names", "columns")
Array = NDArray[Any]


def is_npz(file: Input) -> bool:
    """Whether it is a zip archive of arrays: by its name, or because it holds nothing else."""
    if not is_zip(file):
        return False
    if file.name.lower().endswith(".npz"):
        return True
    try:
        with zipfile.ZipFile(file.path) as archive:
            names = archive.namelist()
    except FAULTS:
        return False
    return bool(names) and all(name.endswith(".npy") for name in names)


def load_npz(file: Input) -> RawData:
    """Images (N,H,W), (N,H,W,C), (N,C,H,W) or features (N,F) with one label each."""
    scratch = file.context.scratch
    try:
        with zipfile.ZipFile(file.path) as archive:
            arrays = _spool(archive, file.path.stat().st_size, scratch)
    except FAULTS as error:
        raise ImportRefusedError("npz-malformed", f"not an archive of plain arrays: {printable(str(error))}") from error
    xs, ys, split_N = _parts(arrays)
    for x, y in zip(xs, ys, strict=True):
        if x.ndim == 0 or y.ndim == 0 or len(x) != len(y):
            raise ImportRefusedError("npz-shape", f"samples of shape {x.shape} and labels of shape {y.shape}")
    if len({x.shape[1:] for x in xs}) > 1:
        raise ImportRefusedError("npz-shape", "the samples of the splits differ in shape")
    y_N, classes, notes = number_labels(_joined(ys), _texts(arrays, CLASS_NAMES))
    numbers = scan(xs)
    folder = scratch / "packed"
    folder.mkdir(parents=True, exist_ok=True)
    if xs[0].ndim in (3, 4):
        raw = RawData(pack_images(xs, numbers, folder / "x.npy"), y_N, classes, split_N)
    else:
        names = _texts(arrays, FEATURE_NAMES)
        raw = RawData(pack_features(xs, folder / "x.npy"), y_N, classes, split_N)
        raw.feature_names = names if len(names) == raw.x.shape[1] else []
        raw.impute = partial(impute, names=raw.feature_names) if numbers.missing else None
    raw.dtype, raw.value_range, raw.is_ordered = numbers.dtype, (numbers.low, numbers.high), True
    raw.notes = [*notes, *numbers.notes(is_image=raw.is_image)]
    return raw


def _spool(archive: zipfile.ZipFile, packed_bytes: int, scratch: Path) -> dict[str, Array]:
    """Every plain array of the archive as a memory map."""
    members = archive.infolist()
    total = sum(member.file_size for member in members)
    if len(members) > MAX_MEMBERS:
        raise ImportRefusedError("archive-too-many-entries", f"more than {MAX_MEMBERS:,} arrays")
    if total > MAX_BYTES or (total > RATIO_FLOOR_BYTES and total > MAX_RATIO * packed_bytes):
        raise ImportRefusedError("archive-bomb", f"the arrays unpack to {total / 2**30:,.1f} GiB")
    arrays = {}
    for number, member in enumerate(members):
        if member.filename.endswith(".npy"):
            with archive.open(member) as file:
                arrays[member.filename[:-4]] = _array(file, member, scratch / f"array-{number}.bin")
    return arrays


def _array(file: IO[bytes], member: zipfile.ZipInfo, target: Path) -> Array:
    name = printable(member.filename)
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ImportRefusedError("npz-malformed", f"`{name}` is an array of format version {version}")
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about headers that Python 2 wrote
        shape, is_fortran, dtype = read(file)
    if dtype.hasobject:
        raise ImportRefusedError("npz-pickle", f"`{name}` holds Python objects, which are never unpickled")
    if dtype.kind not in "iufbUS":
        raise ImportRefusedError("npz-dtype", f"`{name}` is of type {dtype}; numbers and text are read")
    size = math.prod(shape) * dtype.itemsize
    if any(side < 0 for side in shape) or size > member.file_size:
        raise ImportRefusedError("npz-malformed", f"`{name}` says it has shape {shape} and is too short for that")
    if size == 0:
        return np.zeros(shape, dtype)
    left = size
    with target.open("wb") as out:
        while left and (piece := file.read(min(PIECE_BYTES, left))):
            left -= len(piece)
            out.write(piece)
    if left:
        raise ImportRefusedError("npz-malformed", f"`{name}` ends early")
    if not shape:
        return np.fromfile(target, dtype).reshape(shape)
    return np.memmap(target, dtype, "r", shape=shape, order="F" if is_fortran else "C")


def _parts(arrays: Mapping[str, Array]) -> tuple[list[Array], list[Array], NDArray[np.uint8] | None]:
    """Samples, labels, and given splits."""
    for x in SAMPLES:
        for y in LABELS:
            if x in arrays and y in arrays:
                return [arrays[x]], [arrays[y]], None
    parts = [
        (arrays[f"{x}_{part}"], arrays[f"{y}_{part}"], number)
        for part, number in PARTS
        for x in SAMPLES
        for y in LABELS
        if f"{x}_{part}" in arrays and f"{y}_{part}" in arrays
    ]
    if not parts or parts[0][2] != TRAIN:
        listed = ", ".join(printable(name) for name in sorted(arrays)[:20]) or "none"
        raise ImportRefusedError("npz-arrays", f"no arrays `X` and `y` (or `X_train`, `y_train`); there are: {listed}")
    split_N = np.concatenate([np.full(len(y) if y.ndim else 0, number, np.uint8) for _, y, number in parts])
    return [x for x, _, _ in parts], [y for _, y, _ in parts], split_N


def _joined(ys: list[Array]) -> Array:
    """The labels of all splits; numbers stay numbers, text stays text."""
    if len({y.ndim for y in ys}) > 1 or len({y.dtype.kind in "US" for y in ys}) > 1:
        raise ImportRefusedError("labels-shape", "the labels of the splits differ in kind")
    if len({y.shape[1:] for y in ys}) > 1:
        raise ImportRefusedError("labels-shape", "the labels of the splits differ in shape")
    return np.concatenate(ys)


def _texts(arrays: Mapping[str, Array], names: tuple[str, ...]) -> list[str]:
    """The first array of these names as texts; none where they are no texts, or come again."""
    array = next((arrays[name] for name in names if name in arrays), None)
    if array is None or array.ndim != 1 or array.dtype.kind not in "US" or len(set(array.tolist())) < len(array):
        return []
    texts = (text.decode("utf-8", "surrogateescape") if isinstance(text, bytes) else text for text in array.tolist())
    return [printable(text) for text in texts]
