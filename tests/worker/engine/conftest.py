"""Packed datasets and the engine's events, for every test of the engine."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from service.reports.dataset import DatasetMeta
from worker.engine.data.packed import write_packed


def pack(folder: Path, x: np.ndarray, y: np.ndarray, split: np.ndarray) -> Path:
    """Writes a packed dataset whose mean and std are the train split's own."""
    is_image = x.ndim == 4
    train = x[split == 0].astype(np.float64) / (255 if is_image else 1)
    axes = tuple(range(train.ndim - 1))
    meta = DatasetMeta(
        modality="image" if is_image else "features",
        classes=[str(label) for label in range(int(y.max()) + 1)],
        shape=list(x.shape[1:]),
        counts={name: int((split == n).sum()) for n, name in enumerate(("train", "val", "test"))},
        mean=train.mean(axes).tolist(),
        std=train.std(axes).tolist(),
    )
    write_packed(folder, x, y, split, meta)
    return folder


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """scikit-learn's digits, stratified 80/10/10."""
    x, y = load_digits(return_X_y=True)
    images = (x.reshape(-1, 8, 8, 1) * (255 / 16)).round().astype(np.uint8)
    rest, test = train_test_split(np.arange(len(y)), test_size=0.1, stratify=y, random_state=42)
    _, val = train_test_split(rest, test_size=1 / 9, stratify=y[rest], random_state=42)
    split = np.zeros(len(y), np.uint8)
    split[val], split[test] = 1, 2
    return pack(tmp_path_factory.mktemp("digits"), images, y, split)


@pytest.fixture(scope="session")
def few_digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first 400 digits: 300 train, 50 val, 50 test."""
    x, y = load_digits(return_X_y=True)
    images = (x[:400].reshape(-1, 8, 8, 1) * (255 / 16)).round().astype(np.uint8)
    split = np.repeat(np.array([0, 1, 2], np.uint8), [300, 50, 50])
    return pack(tmp_path_factory.mktemp("few-digits"), images, y[:400], split)
