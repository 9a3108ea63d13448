"""Train, val and test: given splits are kept, missing ones are drawn stratified, with a seed, group by group."""

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


def draw_splits(
    y_N: NDArray[np.int64],
    spec: SplitSpec,
    given_N: NDArray[np.uint8] | None = None,
    groups_N: NDArray[np.int64] | None = None,
) -> NDArray[np.uint8]:
    """A split number for each sample.

    `given_N` (0 train, 1 val, 2 test) is kept; only a val or test split that it lacks is drawn from its train part.
    Samples with the same number in `groups_N` (near duplicates) stay together. Each class gives its share.
    """
    split_N = np.zeros(len(y_N), np.uint8) if given_N is None else given_N.astype(np.uint8).copy()
    rng = np.random.default_rng(spec.seed)
    for number, share in ((TEST, spec.test), (VAL, spec.val)):
        if share > 0 and not (split_N == number).any():
            pool = np.flatnonzero(split_N == TRAIN)
            share_of_pool = share if number == TEST or given_N is not None else share / max(1 - spec.test, 1e-9)
            split_N[_stratified(y_N, pool, share_of_pool, rng, groups_N)] = number
    return split_N


def _stratified(
    y_N: NDArray[np.int64],
    pool: NDArray[np.int64],
    share: float,
    rng: np.random.Generator,
    groups_N: NDArray[np.int64] | None,
) -> NDArray[np.int64]:
    """Positions out of `pool`: about `share` of each class, whole groups at a time, at least one where two are left."""
    chosen: list[int] = []
    for label in np.unique(y_N[pool]):
        members = pool[y_N[pool] == label]
        count = min(max(round(len(members) * share), 1), len(members) - 1)
        chosen += _whole_groups(rng.permutation(members), count, groups_N)
    taken = np.array(sorted(chosen), dtype=np.int64)
    if groups_N is None:
        return taken
    return pool[np.isin(groups_N[pool], groups_N[taken])]


def _whole_groups(members: NDArray[np.int64], count: int, groups_N: NDArray[np.int64] | None) -> list[int]:
    """The first of the members, in their order; with groups, the first groups that fit."""
    if groups_N is None:
        first: list[int] = members[:count].tolist()
        return first
    by_group: dict[int, list[int]] = {}
    for member in members.tolist():
        by_group.setdefault(int(groups_N[member]), []).append(member)
    chosen: list[int] = []
    for group in by_group.values():
        if len(chosen) + len(group) <= count:
            chosen += group
    return chosen
