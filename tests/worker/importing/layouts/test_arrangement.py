"""Layouts of pictures: folders are classes and splits; what is no sample is listed with the reason."""

import io
import json
from pathlib import Path

import openpyxl
import pyarrow.parquet
import pytest

from service.errors import ImportRefusedError
from tests.service.pictures.drawings import encoded, picture
from tests.worker.importing.imports import (
    FILES,
    import_path,
    write_zip,
)


@pytest.mark.parametrize("prefix", ["", "top/", "top/inner/"])
@pytest.mark.parametrize("names", [("train", "val", "test"), ("Training", "validation", "Testing"), ("train", "test")])
def test_given_splits_are_kept(tmp_path: Path, prefix: str, names: tuple[str, ...]) -> None:
    files = {f"{prefix}{split}/{name}": data for split in names for name, data in FILES.items()}
    imported = import_path(write_zip(tmp_path / "a.zip", files), split={"val": 0.25})
    counts = imported.profile.meta.counts
    assert counts["test"] == 12
    assert counts["train"] == (12 if len(names) == 3 else counts["train"])
    assert counts["train"] + counts["val"] == 12 * (len(names) - 1)


def test_one_folder_around_everything_is_looked_through(tmp_path: Path) -> None:
    files = {f"photos/{name}": data for name, data in FILES.items()}
    assert import_path(write_zip(tmp_path / "a.zip", files)).profile.meta.classes == ["cats", "dogs"]


def test_what_is_no_data_is_listed_with_the_reason(tmp_path: Path) -> None:
    other = {
        "__MACOSX/cats/._001.png": b"\0",
        "cats/.DS_Store": b"\0",
        "cats/Thumbs.db": b"\0",
        ".git/config": b"x",
        "README.md": b"hello",
        "stray.png": encoded(picture(99)),
    }
    imported = import_path(write_zip(tmp_path / "a.zip", FILES | other))
    assert {file["file"] for file in imported.profile.ignored} == set(other)
    assert len(imported.dataset.y) == 12
    reasons = {file["file"]: file["reason"] for file in imported.profile.ignored}
    assert reasons["README.md"] == "not a picture"
    assert reasons["stray.png"] == "not in the folder of a class"


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"readme.txt": b"x"}, "no pictures were found"),
        ({"1.png": b"x", "2.png": b"x"}, "none in the folder of a class"),
        ({"cats/1.png": b"x", "cats/2.png": b"x"}, "all pictures are of one class"),
    ],
)
def test_a_layout_without_classes_is_explained(tmp_path: Path, files: dict[str, bytes], words: str) -> None:
    with pytest.raises(ImportRefusedError, match=words) as caught:
        import_path(write_zip(tmp_path / "a.zip", files))
    assert caught.value.reason == "layout-no-classes"


def labelled(names: list[str]) -> list[str]:
    """Lines of a table that calls every second picture a cat."""
    return [f"{name},{('cat', 'dog')[number % 2]}" for number, name in enumerate(names)]


FLAT = {f"images/{number:03d}.png": encoded(picture(number)) for number in range(12)}
STEMS = [f"{number:03d}" for number in range(12)]


def parquet(names: list[str]) -> bytes:
    """A Parquet table of file names and labels."""
    rows = [line.split(",") for line in labelled(names)]
    table = pyarrow.table({"file_name": [row[0] for row in rows], "label": [row[1] for row in rows]})
    buffer = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(table, buffer)
    content: bytes = buffer.getvalue().to_pybytes()
    return content


def workbook(rows: list[list[str]]) -> bytes:
    """An Excel file of these rows."""
    book, buffer = openpyxl.Workbook(), io.BytesIO()
    sheet = book.active
    assert sheet is not None
    for row in rows:
        sheet.append(row)
    book.save(buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "name", ["labels.csv", "labels.tsv", "metadata.jsonl", "labels.json", "list.txt", "l.parquet", "l.xlsx"]
)
def test_a_table_beside_the_pictures_gives_their_labels(tmp_path: Path, name: str) -> None:
    lines = labelled([f"images/{stem}.png" for stem in STEMS])
    pairs = [line.split(",") for line in lines]
    content = {
        "labels.csv": "\n".join(["id,label", *lines]).encode(),
        "labels.tsv": "\n".join(["id,label", *lines]).replace(",", "\t").encode("utf-16"),
        "metadata.jsonl": "\n".join(json.dumps({"file_name": file, "label": label}) for file, label in pairs).encode(),
        "labels.json": json.dumps(dict(pairs)).encode(),
        "list.txt": "\n".join(lines).replace(",", " ").encode(),
        "l.parquet": parquet([f"images/{stem}.png" for stem in STEMS]),
        "l.xlsx": workbook([["file", "label"], *pairs]),
    }[name]
    imported = import_path(write_zip(tmp_path / "a.zip", FLAT | {name: content}))
    assert imported.profile.meta.classes == ["cat", "dog"]
    finding = imported.finding("layout")
    assert finding is not None
    assert name in finding.explanation


def test_kaggles_folders_with_a_table_for_train_are_read(tmp_path: Path) -> None:
    files = {f"train/{stem}.png": encoded(picture(int(stem))) for stem in STEMS}
    files |= {f"test/{stem}.png": encoded(picture(50 + int(stem))) for stem in STEMS}
    tables = {
        "train.csv": "\n".join(["id,label", *labelled(STEMS)]).encode(),
        "sample_submission.csv": "\n".join(["id,label", *(f"{stem},cat" for stem in STEMS)]).encode(),
    }
    imported = import_path(write_zip(tmp_path / "a.zip", files | tables))
    assert imported.profile.meta.classes == ["cat", "dog"]
    assert len(imported.dataset.y) == 12
    assert {file["reason"] for file in imported.profile.ignored} == {"no label in train.csv", "not a picture"}


def test_labels_in_file_names_are_read_and_told(tmp_path: Path) -> None:
    files = {f"train/{('cat', 'dog')[n % 2]}.{n}.png": encoded(picture(n)) for n in range(12)}
    files |= {f"test/{n}.png": encoded(picture(50 + n)) for n in range(4)}
    imported = import_path(write_zip(tmp_path / "a.zip", files))
    assert imported.profile.meta.classes == ["cat", "dog"]
    assert len(imported.dataset.y) == 12
    finding = imported.finding("layout")
    assert finding is not None
    assert finding.severity == "warning"


def test_classes_that_differ_in_nothing_one_can_see_are_one(tmp_path: Path) -> None:
    names = {"train/cafe\u0301": 0, "train/Tea ": 10, "val/caf\u00e9": 20, "val/tea": 30}
    files = {f"{name}/{n}.png": encoded(picture(first + n)) for name, first in names.items() for n in range(5)}
    imported = import_path(write_zip(tmp_path / "a.zip", files))
    assert imported.profile.meta.classes == ["caf\u00e9", "tea"]
    assert imported.finding("label_spellings") is not None
    assert imported.finding("class_missing") is None


@pytest.mark.parametrize(
    ("files", "options", "classes"),
    [
        ({f"{split}/{n}.png": n for split in ("train", "test") for n in range(6)}, {"layout": "folders"}, "test train"),
        (
            {f"{top}/{sub}/{n}.png": n for top in "ab" for sub in ("x", "y") for n in range(4)},
            {"layout": "subfolders"},
            "x y",
        ),
        ({f"{'ab'[n % 2]}/{'xy'[n // 6]}_{n}.png": n for n in range(12)}, {"layout": "names"}, "x y"),
    ],
)
def test_options_say_where_the_classes_stand(
    tmp_path: Path, files: dict[str, int], options: dict[str, str], classes: str
) -> None:
    pictures = {name: encoded(picture(sum(name.encode()))) for name in files}
    imported = import_path(write_zip(tmp_path / "a.zip", pictures), **options)
    assert imported.profile.meta.classes == classes.split()


def test_pictures_that_are_not_read_are_named_whatever_they_are_called(tmp_path: Path) -> None:
    heic = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200)
    imported = import_path(write_zip(tmp_path / "a.zip", FILES | {"cats/0": heic}), drop_corrupt=True)
    assert "HEIC" in imported.reasons()["cats/0"]
    with pytest.raises(ImportRefusedError, match=r"none of 2 pictures can be read; .*HEIC"):
        import_path(write_zip(tmp_path / "b.zip", {"cats/1.heic": heic, "dogs/2.heic": heic}))


def test_many_numbers_in_a_table_ask_whether_they_are_measured(tmp_path: Path) -> None:
    pictures = {f"images/{n:03d}.png": encoded(picture(n)) for n in range(40)}
    table = "\n".join(["id,age", *(f"{n},{20 + n // 2}" for n in range(40))]).encode()
    finding = import_path(write_zip(tmp_path / "a.zip", pictures | {"ages.csv": table})).finding("layout")
    assert finding is not None
    assert (finding.severity, "is this a regression?" in finding.explanation) == ("warning", True)


def test_a_chosen_table_is_the_only_one_that_counts(tmp_path: Path) -> None:
    tables = {"a.csv": "\n".join(["id,label", *(f"{stem},{n % 3}" for n, stem in enumerate(STEMS))]).encode(),
              "b.csv": "\n".join(["id,label", *labelled(STEMS)]).encode()}  # fmt: skip
    path = write_zip(tmp_path / "a.zip", FLAT | tables)
    assert import_path(path, label_file="b.csv").profile.meta.classes == ["cat", "dog"]
    with pytest.raises(ImportRefusedError, match=r"`c\.csv` names none of the 12 pictures"):
        import_path(path, label_file="c.csv")
