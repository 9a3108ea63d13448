"""Known datasets that are read without torchvision: scikit-learn's digits, and MNIST's family as IDX files."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from worker.importing.arrays.idx import find_idx
from worker.importing.raw_data import RawData

FASHION = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]
DIGITS = [str(number) for number in range(10)]
IDX_CLASSES = {"FashionMNIST": FASHION, "MNIST": DIGITS, "KMNIST": list("おきすつなはまやれを")}
IDX_FOLDERS = {
    "FashionMNIST": ("fashion-mnist", "FashionMNIST/raw", "FashionMNIST", "fashion_mnist"),
    "MNIST": ("mnist", "MNIST/raw", "MNIST", "mnist-data"),
    "KMNIST": ("kmnist", "KMNIST/raw", "KMNIST"),
}


def load_digits() -> RawData:
    """1,797 real 8x8 grey images of handwritten digits, scaled from 0-16 to 0-255."""
    from sklearn.datasets import load_digits as sklearn_digits  # slow to import

    bunch = sklearn_digits()
    images_NHW = np.round(bunch.images * (255 / 16)).astype(np.uint8)
    return RawData(x=images_NHW[..., None], y=bunch.target.astype(np.int64), classes=DIGITS)


def find_idx_folder(name: str, roots: Iterable[Path]) -> Path | None:
    """The folder with the IDX files of a known dataset, under the usual names or directly in a root."""
    candidates = (folder for root in roots for folder in (*(root / usual for usual in IDX_FOLDERS[name]), root))
    stems = ("train-images", "train-labels")
    return next((folder for folder in candidates if all(find_idx(folder, stem) for stem in stems)), None)
