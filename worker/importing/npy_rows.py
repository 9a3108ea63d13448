"""`.npy` files as rows on disk: made before their content is known, thinned out in place, read without loading."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

PIECE_BYTES = 2**24


def create_rows(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
    """A file of zeros (sparse); the offset of its first row."""
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, _header(shape, dtype))
        offset = file.tell()
        file.truncate(offset + int(np.prod(shape, dtype=np.int64)) * dtype.itemsize)
    return offset


def open_rows(path: Path) -> NDArray[Any]:
    """The file as a writable memory map; an array without rows is no map."""
    if path.stat().st_size == _offset(path):
        return np.load(path, allow_pickle=False)  # type: ignore[no-any-return]
    return np.load(path, mmap_mode="r+", allow_pickle=False)  # type: ignore[no-any-return]


def keep_rows(path: Path, keep_N: NDArray[np.bool_]) -> None:
    """Leaves only some rows, in their order, in bounded memory."""
    if keep_N.all():
        return
    rows = open_rows(path)
    kept = np.flatnonzero(keep_N)
    step = max(PIECE_BYTES // max(rows[0].nbytes, 1), 1)
    for start in range(0, len(kept), step):
        rows[start : start + step][: len(kept) - start] = rows[kept[start : start + step]]
    shape, dtype, offset = (len(kept), *rows.shape[1:]), rows.dtype, _offset(path)
    del rows
    _resize(path, shape, dtype, offset)


def grow_rows(path: Path, more: int) -> None:
    """Adds rows of zeros at the end (sparse)."""
    rows = np.load(path, mmap_mode="r", allow_pickle=False)
    shape, dtype, offset = (len(rows) + more, *rows.shape[1:]), rows.dtype, _offset(path)
    del rows
    _resize(path, shape, dtype, offset)


def _resize(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], offset: int) -> None:
    with path.open("r+b") as file:
        np.lib.format.write_array_header_1_0(file, _header(shape, dtype))
        assert file.tell() == offset, "NumPy leaves room for a row count of any length"
        file.truncate(offset + int(np.prod(shape, dtype=np.int64)) * dtype.itemsize)


def _header(shape: tuple[int, ...], dtype: np.dtype[Any]) -> dict[str, Any]:
    return {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}


def _offset(path: Path) -> int:
    with path.open("rb") as file:
        np.lib.format.read_magic(file)
        np.lib.format.read_array_header_1_0(file)
        return file.tell()
