"""IDX files (MNIST, FashionMNIST, KMNIST), gzipped or not, wherever they lie under the data roots.

Format: http://yann.lecun.com/exdb/mnist/ - two zero bytes, a type code (8: unsigned byte), the number of dimensions,
each dimension as a big-endian 32-bit integer, then the data.
"""

import gzip
import math
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from service.errors import ImportRefusedError
from worker.importing.raw_data import RawData

FASHION = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]
CLASSES = {"FashionMNIST": FASHION, "MNIST": [str(n) for n in range(10)], "KMNIST": list("おきすつなはまやれを")}
FOLDERS = {
    "FashionMNIST": ("fashion-mnist", "FashionMNIST/raw", "FashionMNIST", "fashion_mnist"),
    "MNIST": ("mnist", "MNIST/raw", "MNIST", "mnist-data"),
    "KMNIST": ("kmnist", "KMNIST/raw", "KMNIST"),
}
MAX_BYTES = 4 * 2**30
"""A file that unpacks to more is refused."""


def find_folder(name: str, roots: Iterable[Path]) -> Path | None:
    """The folder with the four files of a known dataset, under the usual names or directly in a root."""
    for root in roots:
        for candidate in (*(root / sub for sub in FOLDERS[name]), root):
            if _file(candidate, "train-images") and _file(candidate, "train-labels"):
                return candidate
    return None


def load_idx(folder: Path, classes: list[str] | None = None) -> RawData:
    """Train and test (`t10k`) images and labels of one folder; the test split is given, val is drawn later."""
    parts = [(_pair(folder, "train"), 0)]
    if _file(folder, "t10k-images"):
        parts.append((_pair(folder, "t10k"), 2))
    if len({images.shape[1:] for (images, _), _ in parts}) > 1:
        raise ImportRefusedError("idx-mismatch", f"{folder.name}: the train and t10k images differ in size")
    images_NHW = np.concatenate([images for (images, _), _ in parts])
    labels_N = np.concatenate([labels for (_, labels), _ in parts])
    split_N = np.concatenate([np.full(len(labels), number, np.uint8) for (_, labels), number in parts])
    known = (
        classes if classes and len(classes) > int(labels_N.max()) else [str(n) for n in range(int(labels_N.max()) + 1)]
    )
    return RawData(x=images_NHW[..., None], y=labels_N.astype(np.int64), classes=known, split=split_N)


def has_idx(folder: Path) -> bool:
    """Whether a folder holds IDX training files."""
    return _file(folder, "train-images") is not None


def _pair(folder: Path, prefix: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    images_file, labels_file = _file(folder, f"{prefix}-images"), _file(folder, f"{prefix}-labels")
    if images_file is None or labels_file is None:
        raise ImportRefusedError("idx-incomplete", f"{folder.name}: the {prefix} images or labels are missing")
    images, labels = read_idx(images_file, 3), read_idx(labels_file, 1)
    if images.size == 0:
        raise ImportRefusedError("idx-malformed", f"{images_file.name} holds no pixels: its header says {images.shape}")
    if len(images) != len(labels):
        raise ImportRefusedError("idx-mismatch", f"{len(images)} {prefix} images but {len(labels)} labels")
    return images, labels


def _file(folder: Path, stem: str) -> Path | None:
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
