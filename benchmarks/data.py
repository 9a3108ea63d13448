"""Real data for the benchmarks: Debian's FashionMNIST, packed as the service packs it."""

from pathlib import Path

import numpy as np

from service.reports.dataset import DatasetMeta
from worker.engine.data.packed import write_packed
from worker.importing.arrays.idx import read_idx

FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")
CLASSES = ["T-shirt", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]


def fashion_mnist() -> tuple[np.ndarray, np.ndarray]:
    """60,000 training images (N, 28, 28) uint8 and their labels (N,) int64."""
    images_NHW = read_idx(FASHION_MNIST / "train-images-idx3-ubyte.gz", 3)
    labels_N = read_idx(FASHION_MNIST / "train-labels-idx1-ubyte.gz", 1)
    return images_NHW, labels_N.astype(np.int64)


def pack(folder: Path, images_NHW: np.ndarray, labels_N: np.ndarray, held_out: int = 640) -> None:
    """Writes a packed dataset: train holds every given image, val and test repeat its first `held_out` ones each.

    Speed is measured here, not quality.
    """
    x = np.concatenate([images_NHW, images_NHW[: 2 * held_out]])[..., None]
    y = np.concatenate([labels_N, labels_N[: 2 * held_out]])
    split = np.concatenate(
        [np.zeros(len(images_NHW), np.uint8), np.ones(held_out, np.uint8), np.full(held_out, 2, np.uint8)]
    )
    meta = DatasetMeta(
        modality="image",
        classes=CLASSES,
        shape=[28, 28, 1],
        counts={"train": len(images_NHW), "val": held_out, "test": held_out},
        mean=[float(images_NHW.mean() / 255)],
        std=[float(images_NHW.std() / 255)],
    )
    write_packed(folder, x, y, split, meta)
