"""Columns that tell the split, in any spelling, are kept as the split and are no features."""

from pathlib import Path

import pytest

from tests.worker.importing.tables.csv_files import imported, refusal


def table(name: str, values: tuple[str, ...]) -> str:
    rows = [f"{at}.5,{at * 7 % 11},{values[at // 2 % len(values)]},{'xy'[at % 2]}" for at in range(120)]
    return "\n".join([f"a,b,{name},label", *rows])


@pytest.mark.parametrize(
    ("name", "values", "counts"),
    [
        ("split", ("train", "test"), (54, 6, 60)),
        ("Usage", ("Training", "PublicTest", "PrivateTest"), (40, 40, 40)),
        ("set", ("train", "train", "train", "val"), (82, 30, 8)),
        ("subset", ("TRAIN", "TRAIN", "Test"), (72, 8, 40)),
        ("split", ("train", "train", "", "test"), (82, 8, 30)),
        ("split", ("trn", "trn", "valid", "holdout"), (60, 30, 30)),
        ("which_part", ("train_set", "dev-set", "X_test"), (40, 40, 40)),
        ("is_valid", ("False", "False", "True"), (72, 40, 8)),
        ("is_train", ("1", "1", "0"), (72, 8, 40)),
    ],
)
def test_a_split_column_is_kept_and_told(
    tmp_path: Path, name: str, values: tuple[str, ...], counts: tuple[int, int, int]
) -> None:
    result = imported(tmp_path, table(name, values))
    assert tuple(result.profile.meta.counts.values()) == counts
    assert result.profile.meta.feature_names == ["a", "b"]
    form = result.finding("table_form")
    assert form is not None
    assert f"column `{name}` tells the splits" in form.explanation


@pytest.mark.parametrize("values", [("val", "test"), ("test",), ("Public", "Private")])
def test_splits_without_train_are_refused(tmp_path: Path, values: tuple[str, ...]) -> None:
    error = refusal(tmp_path, table("split", values))
    assert error.reason == "split-no-train"
    assert "`split` has no row of train" in error.detail


def test_a_split_that_is_not_known_is_refused(tmp_path: Path) -> None:
    error = refusal(tmp_path, table("split", ("train", "test", "extra")))
    assert error.reason == "split-unknown"
    assert "`extra`" in error.detail


@pytest.mark.parametrize("name", ["fold", "CV_Fold", "kfold", "split"])
def test_folds_are_left_out_and_told(tmp_path: Path, name: str) -> None:
    result = imported(tmp_path, table(name, ("0", "1", "2", "3", "4")))
    assert result.profile.meta.feature_names == ["a", "b"]
    assert result.profile.meta.counts == {"train": 96, "val": 12, "test": 12}
    form = result.finding("table_form")
    assert form is not None
    assert f"`{name}` names no train, val and test" in form.explanation


@pytest.mark.parametrize(("name", "values"), [("set", ("A", "B")), ("mode", ("train", "bus")), ("test", ("0", "1"))])
def test_other_columns_stay_features(tmp_path: Path, name: str, values: tuple[str, ...]) -> None:
    assert any(
        feature.startswith(name) for feature in imported(tmp_path, table(name, values)).profile.meta.feature_names
    )
