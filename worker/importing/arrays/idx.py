"""IDX files (MNIST, FashionMNIST, KMNIST), gzipped or not: train and test images with their labels.

Format: http://yann.lecun.com/exdb/mnist/ - two zero bytes, a type code (8: unsigned byte), the number of dimensions,
each dimension as a big-endian 32-bit integer, then the data.
"""

import gzip
import math
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from service.errors import ImportRefusedError
from worker.importing.raw_data import RawData
from worker.importing.splits import TEST, TRAIN

MAX_BYTES = 4 * 2**30
"""A file that unpacks to more is refused."""


def has_idx(folder: Path) -> bool:
    """Whether a folder holds IDX training files."""
    return find_idx(folder, "train-images") is not None


def load_idx(folder: Path, classes: list[str] | None = None) -> RawData:
    """Train and test (`t10k`) images and labels of one folder; the test split is given, val is drawn later."""
    parts = [(_pair(folder, "train"), TRAIN)]
    if find_idx(folder, "t10k-images"):
        parts.append((_pair(folder, "t10k"), TEST))
    if len({images.shape[1:] for (images, _), _ in parts}) > 1:
        raise ImportRefusedError("idx-mismatch", f"{folder.name}: the train and t10k images differ in size")
    images_NHW = np.concatenate([images for (images, _), _ in parts])
    labels_N = np.concatenate([labels for (_, labels), _ in parts])
    split_N = np.concatenate([np.full(len(labels), number, np.uint8) for (_, labels), number in parts])
    count = int(labels_N.max()) + 1
    names = classes if classes and len(classes) >= count else [str(number) for number in range(count)]
    return RawData(x=images_NHW[..., None], y=labels_N.astype(np.int64), classes=names, split=split_N)


def find_idx(folder: Path, stem: str) -> Path | None:
    """The file of `train-images`, `train-labels`, `t10k-images` or `t10k-labels` by one of its usual names."""
    dims = 3 if stem.endswith("images") else 1
    names = (f"{stem}-idx{dims}-ubyte", f"{stem}.idx{dims}-ubyte")
    paths = (folder / f"{name}{suffix}" for name in names for suffix in ("", ".gz"))
    return next((path for path in paths if path.is_file()), None)


def read_idx(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """The array of one file; ImportRefusedError when it is not an IDX file of bytes with that many dimensions."""
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            head = file.read(4)
            if head != bytes([0, 0, 8, dimensions]):
                raise ImportRefusedError("idx-malformed", f"{path.name} is not an IDX file of {dimensions}-D bytes")
            shape = tuple(np.frombuffer(file.read(4 * dimensions), ">u4").astype(int).tolist())
            size = math.prod(shape)
            if len(shape) != dimensions or size > MAX_BYTES:
                raise ImportRefusedError("idx-malformed", f"{path.name}: its header says {shape}")
            data = file.read(size + 1)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise ImportRefusedError("idx-malformed", f"{path.name} cannot be read: {error}") from error
    if len(data) != size:
        raise ImportRefusedError("idx-malformed", f"{path.name} holds {len(data)} bytes, its header says {size}")
    return np.frombuffer(data, np.uint8).reshape(shape)


def _pair(folder: Path, prefix: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    images_file, labels_file = find_idx(folder, f"{prefix}-images"), find_idx(folder, f"{prefix}-labels")
    if images_file is None or labels_file is None:
        raise ImportRefusedError("idx-incomplete", f"{folder.name}: the {prefix} images or labels are missing")
    images, labels = read_idx(images_file, 3), read_idx(labels_file, 1)
    if images.size == 0:
        raise ImportRefusedError("idx-malformed", f"{images_file.name} holds no pixels: its header says {images.shape}")
    if len(images) != len(labels):
        raise ImportRefusedError("idx-mismatch", f"{len(images)} {prefix} images but {len(labels)} labels")
    return images, labels
