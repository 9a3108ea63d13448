"""Train, val and test: given splits are kept, missing ones are drawn stratified, with a seed, group by group."""

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from service.specs.dataset import SplitSpec

TRAIN, VAL, TEST = 0, 1, 2
SPLIT_NAMES = {
    "train": TRAIN, "training": TRAIN, "trains": TRAIN, "trn": TRAIN, "trainval": TRAIN, "val": VAL, "vals": VAL,
    "valid": VAL, "vali": VAL, "vld": VAL, "validation": VAL, "validations": VAL, "validate": VAL, "validating": VAL,
    "dev": VAL, "devel": VAL, "development": VAL, "cv": VAL, "test": TEST, "tests": TEST, "testing": TEST, "tst": TEST,
    "eval": TEST, "evaluation": TEST, "evaluate": TEST, "holdout": TEST, "heldout": TEST,
}  # fmt: skip
"""What people call them, as folders and in tables."""


SLACK = 0.03
"""Of a class: so many more or fewer than its share may be held out so that groups stay whole."""
MANY_TIMES = 3.0
"""Where one sample of each class would be more than so many times the share, only some classes give one."""


def draw_splits(
    y_N: NDArray[np.int64],
    spec: SplitSpec,
    given_N: NDArray[np.uint8] | None = None,
    groups_N: NDArray[np.int64] | None = None,
) -> NDArray[np.uint8]:
    """A split number for each sample.

    `given_N` (0 train, 1 val, 2 test) is kept; only a val or test split that it lacks is drawn from its train part.
    Samples with the same number in `groups_N` (near duplicates) stay together, unless a class cannot give its share
    without parting a group.
    """
    split_N = np.zeros(len(y_N), np.uint8) if given_N is None else given_N.astype(np.uint8).copy()
    rng = np.random.default_rng(spec.seed)
    for number, share in ((TEST, spec.test), (VAL, spec.val)):
        if share > 0 and not (split_N == number).any():
            pool = rng.permutation(np.flatnonzero(split_N == TRAIN))
            share_of_pool = share if number == TEST or given_N is not None else share / max(1 - spec.test, 1e-9)
            sizes_K = np.bincount(y_N[pool])
            held_out = _HeldOut(y_N, sizes_K, class_counts(sizes_K, share_of_pool, rng))
            split_N[held_out.draw(_groups(pool, groups_N))] = number
    return split_N


def class_counts(sizes_K: NDArray[np.int64], share: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """How many samples of each class to hold out: its share, at least one where two are left."""
    counts_K = np.minimum(np.maximum(np.round(sizes_K * share).astype(np.int64), 1), np.maximum(sizes_K - 1, 0))
    total = max(round(share * int(sizes_K.sum())), 1)
    if counts_K.sum() > MANY_TIMES * total:
        rare = rng.permutation(np.flatnonzero(counts_K == 1))
        counts_K[rare[: int(counts_K.sum()) - total]] = 0
    return counts_K


def _groups(pool: NDArray[np.int64], groups_N: NDArray[np.int64] | None) -> list[list[int]]:
    """What is to stay together, in the order in which the first members come."""
    if groups_N is None:
        return [[index] for index in pool.tolist()]
    by_group: dict[int, list[int]] = {}
    for index, group in zip(pool.tolist(), groups_N[pool].tolist(), strict=True):
        by_group.setdefault(group, []).append(index)
    return list(by_group.values())


class _HeldOut:
    """Chooses the samples of a held-out split: groups that fit, then some a little too large, then parts of others."""

    def __init__(self, y_N: NDArray[np.int64], sizes_K: NDArray[np.int64], counts_K: NDArray[np.int64]) -> None:
        tolerance_K = np.maximum((SLACK * sizes_K).astype(np.int64), 1)
        self.labels: list[int] = y_N.tolist()
        self.counts: list[int] = counts_K.tolist()
        self.missing: list[int] = counts_K.tolist()
        self.tolerance: list[int] = tolerance_K.tolist()
        self.slack: list[int] = np.clip(sizes_K - 1 - counts_K, 0, tolerance_K).tolist()
        self.spare = max(int(SLACK * sizes_K.sum()), 1)
        """Samples that may be too many in all."""
        self.chosen: list[int] = []

    def draw(self, groups: list[list[int]]) -> list[int]:
        """The samples, about as many of each class as were asked for."""
        large = [group for group in groups if not self._take(group)]
        if self._short():
            too_large = [group for group in large if not self._take_beyond(group)]
            short = self._short()
            for group in sorted(too_large, key=len, reverse=True):
                for index in group:
                    if self.labels[index] in short:
                        self._take([index])
        return self.chosen

    def _short(self) -> set[int]:
        """The classes that give nothing yet, or far less than their share."""
        return {label for label in range(len(self.counts)) if self._is_short(label)}

    def _is_short(self, label: int) -> bool:
        missing = self.missing[label]
        return missing > self.tolerance[label] or 0 < missing == self.counts[label]

    def _take(self, group: list[int]) -> bool:
        """Takes a group of which all samples are missing."""
        if len(group) == 1 and self.missing[self.labels[group[0]]] <= 0:  # most end here
            return False
        counts = Counter(self.labels[index] for index in group)
        fits = all(count <= self.missing[label] for label, count in counts.items())
        if fits:
            self._hold_out(group, counts)
        return fits

    def _take_beyond(self, group: list[int]) -> bool:
        """Takes a group that gives a class what it is short of, though a few samples are too many."""
        counts = Counter(self.labels[index] for index in group)
        beyond = sum(max(count - max(self.missing[label], 0), 0) for label, count in counts.items())
        fits = beyond <= self.spare and any(self._is_short(label) for label in counts)
        fits = fits and all(count <= self.missing[label] + self.slack[label] for label, count in counts.items())
        if fits:
            self._hold_out(group, counts)
            self.spare -= beyond
        return fits

    def _hold_out(self, group: list[int], counts: Counter[int]) -> None:
        self.chosen += group
        for label, count in counts.items():
            self.missing[label] -= count
