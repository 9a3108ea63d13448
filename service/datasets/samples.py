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
    image_HWC, label, split = (read_row(partial(store.artifacts.read, key), number) for key in artifacts)
    return Sample(png(image_HWC), meta.classes[int(label)], SPLITS[int(split)])


def read_row(read: Read, number: int) -> "NDArray[Any]":
    """One row of a `.npy` file that the service made; NotFoundError past the end."""
    import numpy as np

    head = io.BytesIO(b"".join(read(0, HEADER_BYTES)))
    version = np.lib.format.read_magic(head)
    parse = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    (rows, *shape), _, dtype = parse(head)
    if number >= rows:
        raise NotFoundError(f"the dataset has {rows} samples, numbered from 0")
    size = prod(shape) * dtype.itemsize
    start = head.tell() + number * size
    return np.frombuffer(b"".join(read(start, start + size)), dtype).reshape(shape)


def png(image_HWC: "NDArray[Any]") -> bytes:
    """A packed image (uint8; 1 or 3 channels, others show their first) as PNG."""
    import numpy as np
    from PIL import Image

    channels = image_HWC if image_HWC.shape[2] == 3 else image_HWC[:, :, 0]
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(channels)).save(buffer, "PNG")
    return buffer.getvalue()
