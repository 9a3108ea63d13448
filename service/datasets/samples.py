"""Single samples of a packed dataset, read from the artifact store without opening the whole array."""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.errors import NotFoundError
from service.reports.dataset import SPLITS, DatasetMeta

HEADER_BYTES = 1024
Read = Callable[[int, int], Iterator[bytes]]


@dataclass(frozen=True)
class PackedArray:
    """One `.npy` file: where its data begins, and the shape and type of a row."""

    read: Read
    offset: int
    rows: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @classmethod
    def open(cls, read: Read) -> "PackedArray":
        """Reads the header; the file is one that the service made."""
        head = io.BytesIO(b"".join(read(0, HEADER_BYTES)))
        version = np.lib.format.read_magic(head)
        parse = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = parse(head)
        return cls(read, head.tell(), shape[0], tuple(shape[1:]), dtype)

    def row(self, number: int) -> NDArray[Any]:
        """One row; NotFoundError past the end."""
        if number >= self.rows:
            raise NotFoundError(f"the dataset has {self.rows} samples, numbered from 0")
        size = prod(self.shape) * self.dtype.itemsize
        start = self.offset + number * size
        return np.frombuffer(b"".join(self.read(start, start + size)), self.dtype).reshape(self.shape)


def png(image_HWC: NDArray[Any]) -> bytes:
    """A packed image (uint8; 1 or 3 channels, others show their first) as PNG."""
    channels = image_HWC if image_HWC.shape[2] == 3 else image_HWC[:, :, 0]
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(channels)).save(buffer, "PNG")
    return buffer.getvalue()


def label_and_split(labels: PackedArray, splits: PackedArray, number: int, meta: DatasetMeta) -> tuple[str, str]:
    """The class's name and the split of one sample."""
    label, split = int(cast(int, labels.row(number))), int(cast(int, splits.row(number)))
    return meta.classes[label], SPLITS[split]
