"""Equal rows of a table: copies stay together, what few values make by chance does not."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.worker.importing.arrays.npz_files import imported, refusal
from worker.importing.coincidences import are_coincidences
from worker.importing.duplicates import Duplicates

RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 2, 600)


def duplicates_of(x: NDArray[Any]) -> Duplicates:
    groups = np.unique(x, axis=0, return_inverse=True)[1]
    return Duplicates(groups, groups)


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        (np.c_[RNG.integers(0, 2, 600), RNG.integers(0, 3, 600)], True),
        (np.c_[LABELS, LABELS, RNG.integers(0, 9, 600)], True),
        (np.c_[np.zeros(600), RNG.integers(0, 70, 600)], True),
        (np.repeat(RNG.normal(size=(150, 4)), 4, axis=0), False),
        (np.repeat(RNG.integers(0, 9, (150, 12)), 4, axis=0), False),
        (np.repeat(np.c_[RNG.normal(size=150), RNG.integers(0, 2, (150, 5))], 4, axis=0), False),
        (RNG.normal(size=(600, 3)), False),
    ],
)
def test_chance_is_told_from_copies(x: NDArray[Any], expected: bool) -> None:
    assert are_coincidences(x, LABELS, duplicates_of(x)) is expected


def test_missing_values_are_values_too() -> None:
    x = np.where(RNG.random((600, 2)) < 0.5, np.nan, 1.0)
    assert are_coincidences(x, LABELS, duplicates_of(x))


def test_chance_repeats_are_split_as_other_rows_and_are_no_leak(tmp_path: Path) -> None:
    result = imported(tmp_path, X=RNG.integers(0, 2, (600, 3)), y=LABELS)
    assert result.profile.meta.counts == {"train": 480, "val": 60, "test": 60}
    assert result.finding("leakage") is None
    repeats = result.finding("exact_duplicates")
    assert repeats is not None
    assert repeats.severity == "info"


def test_copied_rows_stay_in_one_split(tmp_path: Path) -> None:
    x = np.repeat(RNG.normal(size=(200, 4)), 3, axis=0)
    result = imported(tmp_path, X=x, y=np.repeat(np.arange(200) % 2, 3))
    assert result.profile.duplicates["cross_split"] == 0
    assert result.profile.meta.counts == {"train": 480, "val": 60, "test": 60}


def test_pictures_that_are_all_alike_are_parted_and_told(tmp_path: Path) -> None:
    picture = RNG.integers(0, 255, (32, 32), np.uint8) // 4 * 3
    pictures = picture + RNG.integers(0, 4, (60, 32, 32), np.uint8)
    result = imported(tmp_path, X=pictures, y=np.arange(60) % 2)
    assert result.profile.meta.counts == {"train": 48, "val": 6, "test": 6}
    leak = result.finding("leakage")
    assert leak is not None
    assert leak.severity == "warning"
    assert leak.evidence["share_of_val"] == 1


def test_data_without_train_are_refused(tmp_path: Path) -> None:
    x, y = RNG.normal(size=(20, 3)), np.arange(20) % 2
    assert refusal(tmp_path, X_test=x, y_test=y) == "npz-arrays"


def test_an_empty_split_is_told(tmp_path: Path) -> None:
    result = imported(tmp_path, X=RNG.normal(size=(3, 3)), y=np.array([0, 0, 1]))
    assert result.profile.meta.counts["val"] == 0
    empty = result.finding("split_empty")
    assert empty is not None
    assert empty.severity == "warning"
