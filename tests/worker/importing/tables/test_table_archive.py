"""Tables in archives and folders: Kaggle's train and test, one table beside a readme, several that are unclear."""

from pathlib import Path

import pytest

from service.errors import ImportRefusedError
from tests.worker.importing.imports import import_path, write_folder, write_tar, write_zip


def rows(start: int, count: int = 60, *, labelled: bool = True) -> bytes:
    lines = [f"{at}.5,{at * 7 % 11}" + (f",{'xy'[at % 2]}" if labelled else "") for at in range(start, start + count)]
    return "\n".join(["a,b,label" if labelled else "a,b", *lines]).encode()


@pytest.mark.parametrize("kind", ["zip", "tar", "folder"])
def test_the_only_table_is_read(tmp_path: Path, kind: str) -> None:
    files = {"data/train.csv": rows(0), "README.md": b"# about", "data/sample_submission.csv": b"id,label\n1,x\n2,x\n"}
    write = {"zip": write_zip, "tar": write_tar, "folder": write_folder}[kind]
    result = import_path(write(tmp_path / f"set.{kind}", files))
    assert result.profile.meta.feature_names == ["a", "b"]
    assert result.profile.meta.counts == {"train": 48, "val": 6, "test": 6}
    assert {"file": "README.md", "reason": "no table of labelled rows"} in result.profile.ignored


def test_tables_of_train_and_test_are_the_splits(tmp_path: Path) -> None:
    files = {"train.csv": rows(0), "test.csv": rows(100, 20), "valid.csv": rows(200, 10)}
    result = import_path(write_zip(tmp_path / "a.zip", files))
    assert result.profile.meta.counts == {"train": 60, "val": 10, "test": 20}
    assert result.dataset.x[result.dataset.indices("test")[0], 0] == 100.5


def test_a_test_table_without_labels_is_left_out_and_told(tmp_path: Path) -> None:
    result = import_path(write_zip(tmp_path / "a.zip", {"train.csv": rows(0), "test.csv": rows(100, labelled=False)}))
    assert result.profile.meta.counts == {"train": 48, "val": 6, "test": 6}
    assert {"file": "test.csv", "reason": "without a label"} in result.profile.ignored
    form = result.finding("table_form")
    assert form is not None
    assert "of 2 tables these were read: train.csv" in form.explanation


def test_several_tables_are_refused_by_their_names(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", {"north.csv": rows(0), "south.csv": rows(100)})
    with pytest.raises(ImportRefusedError, match=r"north\.csv, south\.csv") as caught:
        import_path(path)
    assert caught.value.reason == "tables-several"


def test_a_row_that_does_not_fit_is_told_with_its_file(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", {"train.csv": rows(0), "test.csv": rows(100, 20) + b"\n1,2"})
    with pytest.raises(ImportRefusedError, match=r"test\.csv line 22: 2 cells, the header has 3"):
        import_path(path)
