"""Single samples of a packed dataset, read from the artifact store without opening the whole array."""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import TYPE_CHECKING, Any

from service.errors import NotFoundError, NotReadyError
from service.reports.dataset import SPLITS
from service.store import datasets, files
from service.store.session import Store

if TYPE_CHECKING:  # NumPy and Pillow are slow to import, and few ask for a sample
    import numpy as np
    from numpy.typing import NDArray

HEADER_BYTES = 1024
Read = Callable[[int, int], Iterator[bytes]]


@dataclass(frozen=True)
class Sample:
    """One sample as training sees it."""

    png: bytes
    label: str
    split: str


def sample(store: Store, key: str, number: int) -> Sample:
    """A picture with its class and split; NotReadyError while there are none, NotFoundError past the last."""
    with store.read() as session:
        row = datasets.get(session, key)
        meta = datasets.ready_profile(row).meta
        artifacts = [files.named(session, row.id, f"{name}.npy").artifact for name in ("x", "y", "split")]
    if meta.modality != "image":
        raise NotReadyError(f"`{row.name}` holds features, not pictures")
    arrays = (PackedArray.open(partial(store.artifacts.read, artifact)) for artifact in artifacts)
    image_HWC, label, split = (array.row(number) for array in arrays)
    return Sample(png(image_HWC), meta.classes[int(label)], SPLITS[int(split)])


@dataclass(frozen=True)
class PackedArray:
    """One `.npy` file: where its data begins, and the shape and type of a row."""

    read: Read
    offset: int
    rows: int
    shape: tuple[int, ...]
    dtype: "np.dtype[Any]"

    @classmethod
    def open(cls, read: Read) -> "PackedArray":
        """Reads the header; the file is one that the service made."""
        from numpy.lib import format as npy

        head = io.BytesIO(b"".join(read(0, HEADER_BYTES)))
        version = npy.read_magic(head)
        parse = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = parse(head)
        return cls(read, head.tell(), shape[0], tuple(shape[1:]), dtype)

    def row(self, number: int) -> "NDArray[Any]":
        """One row; NotFoundError past the end."""
        import numpy as np

        if number >= self.rows:
            raise NotFoundError(f"the dataset has {self.rows} samples, numbered from 0")
        size = prod(self.shape) * self.dtype.itemsize
        start = self.offset + number * size
        return np.frombuffer(b"".join(self.read(start, start + size)), self.dtype).reshape(self.shape)


def png(image_HWC: "NDArray[Any]") -> bytes:
    """A packed image (uint8; 1 or 3 channels, others show their first) as PNG."""
    import numpy as np
    from PIL import Image

    channels = image_HWC if image_HWC.shape[2] == 3 else image_HWC[:, :, 0]
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(channels)).save(buffer, "PNG")
    return buffer.getvalue()
