"""Checks of the numbers: scale, range, exposure, features that are constant, double, or say too much."""

import numpy as np
from numpy.typing import NDArray

from service.reports.finding import Finding
from worker.importing.checks.dataset_view import DatasetView
from worker.importing.findings import SHOWN, finding, first_of

MAX_MEAN, MIN_STD, MAX_STD = 0.5, 0.5, 2.0
DARK, LIGHT = 13.0, 242.0
ROWS = 20_000
"""Training rows that the checks of features look at."""
FEW_VALUES = 32
LEAK_ACCURACY = 0.99
HARDLY_SHOWN = 8
"""Of pictures so many times as long as wide the square that is kept shows next to nothing."""


def check_scale(dataset: DatasetView) -> Finding | None:
    """P1: inputs as they are stored lie far from mean 0 and deviation 1."""
    mean, std = np.array(dataset.meta.mean), np.array(dataset.meta.std)
    off = (np.abs(mean) > MAX_MEAN) | (std < MIN_STD) | (std > MAX_STD)
    if not off.any():
        return None
    names = dataset.meta.feature_names or [f"channel {n}" for n in range(len(mean))]
    spread = float(std[std > 0].max() / std[std > 0].min()) if (std > 0).any() else 1.0
    return finding(
        "P1", "warning" if not dataset.raw.is_image and spread > 100 else "info",
        "The inputs are not normalised: " + ("their numbers differ in scale by a factor of "
        f"{spread:,.0f}. " if spread > 10 else "their means and deviations are far from 0 and 1. ")
        + "Trained as they are, a network learns slowly or not at all.",
        'Keep `"preprocess": {"normalize": "dataset"}`, the default, which uses the mean and deviation shown here.',
        mean=[float(value) for value in mean[:SHOWN]], std=[float(value) for value in std[:SHOWN]],
        concerned=[names[index] for index in np.flatnonzero(off)[:SHOWN]],
    )  # fmt: skip


def check_blank(dataset: DatasetView) -> Finding | None:
    """P18: pictures that are nearly black, white or of one colour."""
    if dataset.raw.thumbs is None:
        return None
    means = dataset.raw.thumbs.mean(axis=(1, 2))
    flat = np.ptp(dataset.raw.thumbs.reshape(len(means), -1), axis=1) == 0
    odd = np.flatnonzero(flat | (means < DARK) | (means > LIGHT))
    if len(odd) == 0:
        return None
    return finding(
        "P18", "info",
        f"{len(odd):,} pictures are nearly black, nearly white or of one colour ({int(flat.sum()):,}).",
        "Look whether they show anything.",
        dark=int((means < DARK).sum()), light=int((means > LIGHT).sum()), one_colour=int(flat.sum()),
        examples=[dataset.name(int(index)) for index in odd[:SHOWN]],
    )  # fmt: skip


def check_aspect(dataset: DatasetView) -> Finding | None:
    """P19: pictures so long that the square that is kept shows little of them."""
    sizes = {tuple(int(side) for side in size.split("x")): count for size, count in dataset.raw.sizes.items()}
    odd = {size: count for size, count in sizes.items() if max(size) > 3 * min(size)}
    if not odd or dataset.meta.shape[0] != dataset.meta.shape[1]:
        return None
    return finding(
        "P19", "warning" if any(max(size) > HARDLY_SHOWN * min(size) for size in odd) else "info",
        f"{sum(odd.values()):,} pictures are over three times as long as wide; the square that is kept shows a third "
        "of them or less.",
        "Crop or pad them before the import if what matters is not in the middle.",
        count=sum(odd.values()), examples=[f"{size[0]}x{size[1]}" for size in list(odd)[:SHOWN]],
    )  # fmt: skip


def check_constant(dataset: DatasetView) -> Finding | None:
    """P13: features or channels that never change."""
    if dataset.raw.is_image:
        return None
    train = sample(dataset)
    constant = np.flatnonzero(np.ptp(train, axis=0) == 0) if len(train) else np.zeros(0, np.int64)
    if not len(constant):
        return None
    return finding(
        "P13", "warning",
        f"{len(constant):,} features have the same value in every training sample: they say nothing.",
        "Leave these columns out.", **first_of([feature(dataset, int(index)) for index in constant]),
    )  # fmt: skip


def check_copied_features(dataset: DatasetView) -> Finding | None:
    """P15: features that repeat others."""
    if dataset.raw.is_image:
        return None
    train = np.ascontiguousarray(sample(dataset).T)
    first: dict[bytes, int] = {}
    pairs = []
    for index, column in enumerate(train):
        if np.ptp(column) > 0 and (twin := first.setdefault(column.tobytes(), index)) != index:
            pairs.append(f"{feature(dataset, index)} = {feature(dataset, twin)}")
    if not pairs:
        return None
    return finding(
        "P15", "info", f"{len(pairs):,} features are copies of others.",
        "Leave the copies out.", **first_of(pairs),
    )  # fmt: skip


def check_target_leak(dataset: DatasetView) -> Finding | None:
    """P16: a single feature that tells the label almost by itself."""
    if dataset.raw.is_image:
        return None
    train, y = sample(dataset), dataset.raw.y[_rows(dataset)]
    chance = float(np.bincount(y).max() / len(y)) if len(y) else 1.0
    if len(y) < 100 or chance > 0.95:
        return None
    scores = {index: accuracy_alone(train[:, index], y) for index in range(train.shape[1])}
    telling = sorted((index for index, score in scores.items() if score >= LEAK_ACCURACY), key=lambda i: -scores[i])
    if not telling:
        return None
    return finding(
        "P16", "warning",
        "A single feature tells the label almost by itself: "
        + ", ".join(f"`{feature(dataset, index)}` ({scores[index]:.1%})" for index in telling[:5])
        + f"; always guessing the commonest class is right in {chance:.1%}. Perhaps it was made from the label, or is "
        "known only afterwards.",
        "Ask whether it will be known when the network is used; leave it out if not.",
        features=[feature(dataset, index) for index in telling[:SHOWN]],
        accuracy_alone=[scores[index] for index in telling[:SHOWN]], by_chance=chance,
    )  # fmt: skip


def accuracy_alone(column: NDArray[np.float32], y: NDArray[np.int64]) -> float:
    """Accuracy of guessing from one feature alone, learned on every second sample and asked of the others: the
    commonest label of each value, or of many values the label of the nearest.
    """
    known, asked = column[::2], column[1::2]
    labels, truth = y[::2], y[1::2]
    values, place = np.unique(known, return_inverse=True)
    if len(values) > FEW_VALUES:
        order = np.argsort(known, kind="stable")
        right = np.clip(np.searchsorted(known[order], asked), 1, len(known) - 1)
        nearer = right - (asked - known[order][right - 1] <= known[order][right] - asked)
        guesses = labels[order][nearer]
    else:
        table = np.zeros((len(values), int(y.max()) + 1), np.int64)
        np.add.at(table, (place, labels), 1)
        guesses = table.argmax(axis=1)[np.clip(np.searchsorted(values, asked), 0, len(values) - 1)]
    return float((guesses == truth).mean())


def _rows(dataset: DatasetView) -> NDArray[np.int64]:
    train = np.flatnonzero(dataset.split_N == 0)
    return train[:: max(len(train) // ROWS, 1)]


def sample(dataset: DatasetView) -> NDArray[np.float32]:
    """Some training rows of a table."""
    rows: NDArray[np.float32] = np.asarray(dataset.raw.x[_rows(dataset)], np.float32)
    return rows


def feature(dataset: DatasetView, index: int) -> str:
    """What people call a feature."""
    names = dataset.meta.feature_names
    return names[index] if names else f"feature {index}"
