"""Arrays are known by the names that people give them; what is left out is told."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.errors import ImportRefusedError
from tests.worker.importing.arrays.npz_files import FEATURES, LABELS, imported, refusal
from worker.importing.arrays.array_names import role_of

SIZES = {"train": 30, "val": 12, "test": 18}


def named(**names: str) -> dict[str, Any]:
    """`train="X_train y_train"` -> these arrays, of as many samples as the split has."""
    arrays: dict[str, Any] = {}
    for split, pair in names.items():
        x, y = pair.split()
        arrays |= {x: FEATURES[: SIZES[split]] + len(arrays), y: LABELS[: SIZES[split]]}
    return arrays


@pytest.mark.parametrize(
    "names",
    [
        {"train": "train_images train_labels", "val": "val_images val_labels", "test": "test_images test_labels"},
        {"train": "X_train y_train", "val": "X_validation y_validation", "test": "X_test y_testing"},
        {"train": "x_train Y_train", "val": "X_dev y_dev", "test": "x_test y_test"},
        {"train": "Xtr Ytr", "val": "Xval Yval", "test": "Xte Yte"},
        {"train": "trainX trainY", "val": "validX validY", "test": "testX testY"},
        {"train": "train_data train_target", "val": "val_data val_target", "test": "test_data test_target"},
        {"train": "X y", "val": "X_val y_val", "test": "X_test y_test"},
        {"train": "train train_labels", "val": "valid valid_labels", "test": "test test_labels"},
        {"train": "arr_0 arr_1", "val": "arr_2 arr_3", "test": "arr_4 arr_5"},
    ],
)
def test_given_splits_are_found_under_any_usual_names(tmp_path: Path, names: dict[str, str]) -> None:
    result = imported(tmp_path, **named(**names))
    assert result.profile.meta.counts == SIZES
    assert not result.profile.corrupt


@pytest.mark.parametrize("name", ["masks", "left_images", "fine_labels", "train_idx", "X_train_test", "ids", ""])
def test_other_names_say_nothing(name: str) -> None:
    assert role_of(name) is None


def test_samples_without_labels_are_told_as_left_out(tmp_path: Path) -> None:
    result = imported(tmp_path, **named(train="X_train y_train"), X_test=FEATURES)
    finding = result.finding("layout")
    assert finding is not None
    assert finding.severity == "warning"
    assert "`X_test` (samples without labels) was left out" in finding.explanation


def test_other_arrays_are_told_and_do_not_stop_the_import(tmp_path: Path) -> None:
    more: dict[str, Any] = {"files": np.array(["a"] * 60, object), "when": np.arange(60).astype("datetime64[D]")}
    finding = imported(tmp_path, X=FEATURES, y=LABELS, **more).finding("layout")
    assert finding is not None
    assert finding.severity == "info"
    assert finding.evidence["count"] == 2


@pytest.mark.parametrize("names", [("X", "y"), ("arr_0", "arr_1")])
def test_labels_of_python_objects_are_refused_with_the_cure(tmp_path: Path, names: tuple[str, str]) -> None:
    arrays: dict[str, Any] = {names[0]: FEATURES, names[1]: np.array(["a", "b", "c"], object)[LABELS]}
    with pytest.raises(ImportRefusedError, match=rf"`{names[1]}.astype\(str\)`"):
        imported(tmp_path, "a.npz", **arrays)


@pytest.mark.parametrize(
    "arrays",
    [
        {"X1": FEATURES, "X2": FEATURES, "y": LABELS},
        {"X_train": FEATURES, "X_test": FEATURES, "y_test": LABELS},
        {"X": FEATURES, "fine_labels": LABELS},
        {"arr_0": FEATURES, "arr_1": FEATURES},
        {"arr_0": LABELS, "arr_1": LABELS},
    ],
)
def test_names_that_do_not_say_enough_are_refused(tmp_path: Path, arrays: dict[str, Any]) -> None:
    assert refusal(tmp_path, **arrays) == "npz-arrays"


def test_samples_that_come_last_are_refused_with_the_cure(tmp_path: Path) -> None:
    with pytest.raises(ImportRefusedError, match="moveaxis"):
        imported(tmp_path, X=np.zeros((8, 8, 3, 60)), y=LABELS)


def test_columns_of_labels_may_stand_in_one_split_only(tmp_path: Path) -> None:
    arrays = named(train="X_train y_train", test="X_test y_test")
    arrays["y_train"] = arrays["y_train"][:, None]
    assert imported(tmp_path, **arrays).profile.meta.counts["test"] == 18


def test_an_array_of_splits_is_followed(tmp_path: Path) -> None:
    split = np.array(["Training", "valid", "test"])[np.repeat([0, 1, 2], [30, 12, 18])]
    assert imported(tmp_path, X=FEATURES, y=LABELS, split=split).profile.meta.counts == SIZES


@pytest.mark.parametrize(
    "more", [{"split": LABELS}, {"train_idx": np.arange(40)}, {"split": np.array(["a", "b", "c"])}]
)
def test_splits_that_cannot_be_followed_are_told(tmp_path: Path, more: dict[str, Any]) -> None:
    finding = imported(tmp_path, X=FEATURES, y=LABELS, **more).finding("layout")
    assert finding is not None
    assert finding.severity == "warning"
