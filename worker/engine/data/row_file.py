"""Fixed-size rows in a file, read and written by position: bounded memory, nothing is mapped.

A memory map counts against a limit of the address space, and what was touched of it against the process's resident
memory; page-cache reads are not charged to this process. Rows that lie side by side are read in one call.
"""

import math
import os
import weakref
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.errors import DataError

READ_BYTES = 2**24
"""Size of one read when a whole split is read."""
MAX_BUFFERS = 1024
"""IOV_MAX of Linux: buffers that one call fills."""


class RowFile:
    """Rows of one shape and type, from `offset` on; positions may come in any order and more than once."""

    def __init__(
        self, path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], offset: int = 0, mode: int = os.O_RDONLY
    ) -> None:
        self.path, self.shape, self.dtype, self.offset = path, shape, dtype, offset
        self.row_bytes = math.prod(shape[1:]) * dtype.itemsize
        self._file = os.open(path, mode | os.O_CLOEXEC)
        weakref.finalize(self, os.close, self._file)

    @classmethod
    def of_array(cls, path: Path) -> "RowFile":
        """The rows of a `.npy` file in C order."""
        with path.open("rb") as file:
            np.lib.format.read_magic(file)
            shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(file)
            if is_fortran:
                raise DataError(f"{path.name} lies on the disk column by column; import the dataset again")
            return cls(path, shape, dtype, file.tell())

    @classmethod
    def create(cls, path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> "RowFile":
        """A file of zeros (sparse), to be written and read."""
        with path.open("wb") as file:
            file.truncate(math.prod(shape) * dtype.itemsize)
        return cls(path, shape, dtype, mode=os.O_RDWR)

    @property
    def rows_per_read(self) -> int:
        """Rows of one read when a whole split is read."""
        return max(READ_BYTES // max(self.row_bytes, 1), 1)

    def read(self, positions_B: NDArray[np.int64]) -> NDArray[Any]:
        """The rows at these positions, in their order; raises DataError when the file is shorter than it should be."""
        rows = np.empty((len(positions_B), *self.shape[1:]), self.dtype)
        buffers = rows.reshape(len(rows), math.prod(self.shape[1:])).view(np.uint8)
        runs = _runs(positions_B)
        if len(runs) > 1:  # the disk may fetch what follows while the first is read
            for _, first, count in runs:
                os.posix_fadvise(self._file, self._offset(first), count * self.row_bytes, os.POSIX_FADV_WILLNEED)
        for places, first, _ in runs:
            self._fill([buffers[place].data for place in places], self._offset(first))
        return rows

    def write(self, positions_B: NDArray[np.int64], rows: NDArray[Any]) -> None:
        """Puts the rows at these positions, one for each."""
        for position, row in zip(positions_B.tolist(), rows, strict=True):
            data = np.ascontiguousarray(row).data.cast("B")
            offset = self._offset(position)
            while data:
                written = os.pwrite(self._file, data, offset)
                data, offset = data[written:], offset + written

    def _offset(self, position: int) -> int:
        return self.offset + position * self.row_bytes

    def _fill(self, buffers: list[memoryview], offset: int) -> None:
        while buffers:
            count = os.preadv(self._file, buffers[:MAX_BUFFERS], offset)
            if count == 0 and self.row_bytes:
                raise DataError(f"{self.path.name} is shorter than its {self.shape[0]:,} rows")
            offset += count
            while buffers and count >= len(buffers[0]):
                count -= len(buffers.pop(0))
            if count:
                buffers[0] = buffers[0][count:]


def _runs(positions_B: NDArray[np.int64]) -> list[tuple[list[int], int, int]]:
    """Rows that lie side by side in the file, ascending: places in the result, first position, count."""
    order = np.argsort(positions_B, kind="stable")
    ascending = positions_B[order]
    cuts = np.flatnonzero(np.diff(ascending) != 1) + 1
    return [(part.tolist(), int(positions_B[part[0]]), len(part)) for part in np.split(order, cuts) if len(part)]
