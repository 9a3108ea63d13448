"""Small real datasets, and the ways in which a dataset can be wrong (or hard, but honest)."""

import functools
import gzip
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from service.reports.dataset import DatasetMeta, Profile
from worker.engine.data.packed import write_packed

Images = NDArray[np.uint8]
Labels = NDArray[np.int64]
FASHION = Path(os.environ.get("FASHION_MNIST", "/usr/share/datasets/fashion-mnist"))
"""Debian's `dataset-fashion-mnist`."""
TEST = 100


@functools.cache
def load(name: str) -> tuple[Images, Labels]:
    """All images (N, H, W, 1) and labels of `digits` (1,797 of 8x8) or `fashion` (10,000 of 28x28)."""
    if name == "digits":
        from sklearn.datasets import load_digits

        digits = load_digits()
        return (digits.images[..., None] * 15.9375).astype(np.uint8), digits.target.astype(np.int64)
    with gzip.open(FASHION / "t10k-images-idx3-ubyte.gz") as file:
        images = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 28, 28, 1)
    with gzip.open(FASHION / "t10k-labels-idx1-ubyte.gz") as file:
        labels = np.frombuffer(file.read(), np.uint8, offset=8).astype(np.int64)
    return images, labels


class Draft:
    """A dataset in the making: a random draw of train, val and test that a `twist` may change before it is packed."""

    def __init__(self, name: str, seed: int, train: int, val: int) -> None:
        images, labels = load(name)
        self.generator = np.random.default_rng([seed, 7])
        order = self.generator.permutation(len(labels))
        parts = np.split(order[: train + val + TEST], [train, train + val])
        self.x: dict[str, NDArray[np.generic]] = {
            s: images[p] for s, p in zip(("train", "val", "test"), parts, strict=True)
        }
        self.y: dict[str, Labels] = {s: labels[p].copy() for s, p in zip(("train", "val", "test"), parts, strict=True)}
        self.shared = 0

    def pack(self, folder: Path) -> Profile:
        """Writes the packed dataset and returns what an import would say of it."""
        x = np.concatenate([self.x[split] for split in ("train", "val", "test")])
        y = np.concatenate([self.y[split] for split in ("train", "val", "test")])
        split = np.concatenate([np.full(len(self.y[s]), i, np.uint8) for i, s in enumerate(("train", "val", "test"))])
        is_image = x.dtype == np.uint8
        scale = 255.0 if is_image else 1.0
        axes = tuple(range(x.ndim - 1))
        train = self.x["train"].astype(np.float64) / scale
        classes = int(y.max()) + 1
        meta = DatasetMeta(
            modality="image" if is_image else "features",
            classes=[str(label) for label in range(classes)],
            shape=list(x.shape[1:]),
            counts={s: len(self.y[s]) for s in ("train", "val", "test")},
            mean=np.nanmean(train, axis=axes).tolist(),
            std=np.nanstd(train, axis=axes).tolist(),
        )
        write_packed(folder, x, y, split, meta)
        return Profile(
            meta=meta,
            class_counts={},
            dtype=str(x.dtype),
            value_range=(float(np.nanmin(x)), float(np.nanmax(x))),
            duplicates={"cross_split": self.shared},
        )


def _plain(draft: Draft) -> None:
    """As it is."""


def _raw_features(draft: Draft) -> None:
    """Pixels as unscaled features, some columns in other units."""
    for split, x in draft.x.items():
        flat = x.reshape(len(x), -1).astype(np.float32)
        draft.x[split] = flat * np.linspace(0.5, 3, flat.shape[1], dtype=np.float32) + 40


def _features(draft: Draft) -> None:
    """Pixels as features."""
    for split, x in draft.x.items():
        draft.x[split] = x.reshape(len(x), -1).astype(np.float32)


def _not_finite(draft: Draft) -> None:
    """A few features are NaN."""
    _features(draft)
    flat = np.array(draft.x["train"], dtype=np.float32)
    flat[draft.generator.integers(len(flat), size=len(flat) // 10), 0] = np.nan
    draft.x["train"] = flat


def _sorted(draft: Draft) -> None:
    """Stored class by class."""
    order = np.argsort(draft.y["train"], kind="stable")
    draft.x["train"], draft.y["train"] = draft.x["train"][order], draft.y["train"][order]


def _shuffled_labels(draft: Draft) -> None:
    """The labels of the training split belong to other samples."""
    draft.y["train"] = draft.generator.permutation(draft.y["train"])


def _permuted_val_labels(draft: Draft) -> None:
    """Val and test name the classes in another order (two folders sorted differently)."""
    for split in ("val", "test"):
        draft.y[split] = (draft.y[split] + 3) % 10


def _inverted_val(draft: Draft) -> None:
    """Val and test come from a source with inverted colours."""
    for split in ("val", "test"):
        draft.x[split] = 255 - draft.x[split].astype(np.uint8)


def _leaked(draft: Draft) -> None:
    """A third of val are copies of training samples."""
    count = len(draft.y["val"]) // 3
    draft.x["val"][:count], draft.y["val"][:count] = draft.x["train"][:count], draft.y["train"][:count]
    draft.shared = count


def _noise(draft: Draft, share: float) -> None:
    """That share of all labels is drawn at random."""
    for y in draft.y.values():
        wrong = draft.generator.random(len(y)) < share
        y[wrong] = draft.generator.integers(10, size=int(wrong.sum()))


def _imbalanced(draft: Draft) -> None:
    """Half of the classes keep a fifth of their samples."""
    for split in ("train", "val", "test"):
        keep = (draft.y[split] < 5) | (draft.generator.random(len(draft.y[split])) < 0.2)
        draft.x[split], draft.y[split] = draft.x[split][keep], draft.y[split][keep]


def _two_classes(draft: Draft) -> None:
    """Even against odd."""
    for split in ("train", "val", "test"):
        draft.y[split] = draft.y[split] % 2


TWISTS: Mapping[str, Callable[[Draft], None]] = {
    "plain": _plain,
    "features": _features,
    "raw features": _raw_features,
    "not finite": _not_finite,
    "sorted": _sorted,
    "shuffled labels": _shuffled_labels,
    "permuted val labels": _permuted_val_labels,
    "inverted val": _inverted_val,
    "leaked": _leaked,
    "noise 15%": functools.partial(_noise, share=0.15),
    "noise 40%": functools.partial(_noise, share=0.40),
    "imbalanced": _imbalanced,
    "two classes": _two_classes,
}


def prepare(folder: Path, name: str, twist: str, seed: int, train: int, val: int) -> Profile:
    """Draws, twists and packs a dataset into `folder`."""
    draft = Draft(name, seed, train, val)
    TWISTS[twist](draft)
    return draft.pack(folder)
