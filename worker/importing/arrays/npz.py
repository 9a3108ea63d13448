"""NumPy archives: samples and labels, of all or of each split. Nothing is ever unpickled.

Headers are judged before data are read; arrays pass through files in the scratch folder, so that memory is bounded.
"""

import math
import sys
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
from service.reports.dataset import SPLITS
from worker.importing.archives.listing import MAX_BYTES, MAX_RATIO
from worker.importing.archives.zip_archive import is_zip
from worker.importing.arrays.array_names import UNNAMED, find_parts
from worker.importing.arrays.packing import check_levels, pack_features, pack_images, scan
from worker.importing.imputation import impute
from worker.importing.labels import number_labels
from worker.importing.names import printable
from worker.importing.raw_data import Input, RawData

FAULTS = (
    ArithmeticError, EOFError, KeyError, MemoryError, OSError, RuntimeError, SyntaxError, TypeError, ValueError,
    tokenize.TokenError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip
"""A RuntimeError is an encrypted or patched member; NumPy parses headers with Python's own parser."""
RATIO_FLOOR_BYTES = 2**28
"""Arrays of zeros pack well; only much more than a picture of them is a bomb."""
MAX_MEMBERS = 1000
PIECE_BYTES = 2**22
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
            arrays, refused = _spool(archive, file.path.stat().st_size, scratch)
    except FAULTS as error:
        raise ImportRefusedError("npz-malformed", f"not an archive of plain arrays: {printable(str(error))}") from error
    for name in filter(UNNAMED.fullmatch, refused):
        raise refused[name]
    parts = find_parts(arrays, (*CLASS_NAMES, *FEATURE_NAMES))
    for name in (name for pair in parts.pairs for name in pair if name in refused):
        raise refused[name]
    xs, ys = ([arrays[pair[place]] for pair in parts.pairs] for place in (0, 1))
    for x, y in zip(xs, ys, strict=True):
        _check_lengths(x, y)
    split_N = parts.split_N
    if parts.splits is not None:
        split_N = np.repeat(np.array(parts.splits, np.uint8), [len(y) for y in ys])
    if len({x.shape[1:] for x in xs}) > 1:
        raise ImportRefusedError("npz-shape", "the samples of the splits differ in shape")
    y_N, classes, notes = number_labels(_joined(ys), _texts(arrays, CLASS_NAMES))
    numbers = scan(xs)
    folder = scratch / "packed"
    folder.mkdir(parents=True, exist_ok=True)
    if xs[0].ndim in (3, 4):
        rows = pack_images(xs, numbers, folder / "x.npy")
        raw = RawData(rows, y_N, classes, split_N)
        titles = ["all"] if parts.splits is None else [SPLITS[split] for split in parts.splits]
        notes.append(check_levels(xs, rows, titles))
    else:
        names = _texts(arrays, FEATURE_NAMES)
        raw = RawData(pack_features(xs, folder / "x.npy"), y_N, classes, split_N)
        raw.feature_names = names if len(names) == raw.x.shape[1] else []
        raw.impute = partial(impute, names=raw.feature_names) if numbers.missing else None
    raw.dtype, raw.value_range, raw.is_ordered = numbers.dtype, (numbers.low, numbers.high), True
    raw.notes = [*notes, parts.note(), *numbers.notes(is_image=raw.is_image)]
    return raw


def _check_lengths(x: Array, y: Array) -> None:
    if x.ndim and y.ndim and len(x) == len(y):
        return
    advice = ""
    if x.ndim > 1 and y.ndim and x.shape[-1] == len(y):
        advice = ": the samples come last; put them first with `np.moveaxis(X, -1, 0)`"
    raise ImportRefusedError("npz-shape", f"samples of shape {x.shape} and labels of shape {y.shape}{advice}")


def _spool(
    archive: zipfile.ZipFile, packed_bytes: int, scratch: Path
) -> tuple[dict[str, Array], dict[str, ImportRefusedError]]:
    """Every plain array of the archive as a memory map, empty ones in place of others; and why these are refused."""
    members = archive.infolist()
    total = sum(member.file_size for member in members)
    if len(members) > MAX_MEMBERS:
        raise ImportRefusedError("archive-too-many-entries", f"more than {MAX_MEMBERS:,} arrays")
    if total > MAX_BYTES or (total > RATIO_FLOOR_BYTES and total > MAX_RATIO * packed_bytes):
        raise ImportRefusedError("archive-bomb", f"the arrays unpack to {total / 2**30:,.1f} GiB")
    arrays: dict[str, Array] = {}
    refused: dict[str, ImportRefusedError] = {}
    for number, member in enumerate(members):
        if member.filename.endswith(".npy"):
            name = member.filename[:-4]
            with archive.open(member) as file:
                try:
                    arrays[name] = _array(file, member, scratch / f"array-{number}.bin")
                except ImportRefusedError as error:
                    arrays[name], refused[name] = np.zeros(0), error
    return arrays, refused


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
        array = name.removesuffix(".npy")
        raise ImportRefusedError(
            "npz-pickle",
            f"`{array}` holds Python objects, which are never unpickled: save texts as `{array}.astype(str)`, numbers "
            f"as `{array}.astype(float)`, a list of arrays of one shape as `np.stack(list({array}))`",
        )
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
    if (
        dtype.kind == "U"
        and np.memmap(target, np.dtype("u4").newbyteorder(dtype.byteorder), "r").max() > sys.maxunicode
    ):
        raise ImportRefusedError("npz-malformed", f"`{name}` holds texts that are no Unicode")
    if not shape:
        return np.fromfile(target, dtype).reshape(shape)
    return np.memmap(target, dtype, "r", shape=shape, order="F" if is_fortran else "C")


def _joined(ys: list[Array]) -> Array:
    """The labels of all splits; numbers stay numbers, text stays text."""
    ys = [y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y for y in ys]
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
