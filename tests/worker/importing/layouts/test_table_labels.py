"""Tables beside pictures: which column names the files, which one is the label, and what each says."""

import pytest

from worker.importing.layouts.label_files import LabelFile
from worker.importing.layouts.table_labels import TableLabels, labels_of_files
from worker.importing.layouts.tree import Unclear

PICTURES = [f"images/{number:03d}.png" for number in range(6)]
LABELS = ["cat", "dog"] * 3


def table(name: str, lines: list[str]) -> LabelFile:
    """A table of cells that commas separate."""
    return LabelFile(name, [line.split(",") for line in lines])


def read(lines: list[str], label_column: str | None = None, pictures: list[str] = PICTURES) -> list[str]:
    """The labels of the pictures in their order."""
    found = labels_of_files([table("labels.csv", lines)], pictures, label_column)
    assert isinstance(found, TableLabels), found
    return [found.labels[name] for name in pictures]


@pytest.mark.parametrize(
    "spelled",
    ["{}.png", "{}", "images/{}.png", "./images/{}.png", "C:\\data\\images\\{}.png", "{}.JPG", "/srv/x/{}.PNG"],
)
def test_files_are_found_as_people_write_them(spelled: str) -> None:
    names = [spelled.format(f"{number:03d}") for number in range(6)]
    assert read(["id,label", *(f"{name},{label}" for name, label in zip(names, LABELS, strict=True))]) == LABELS


def test_rows_without_a_header_and_ids_without_zeros() -> None:
    assert read([f"{number:03d}.png,{label}" for number, label in enumerate(LABELS)]) == LABELS
    numbered = ["id,label", *(f"{number},{label}" for number, label in enumerate(LABELS))]
    assert read(numbered) == LABELS
    assert read(numbered, pictures=[f"images/img_{number}.png" for number in range(6)]) == LABELS


def test_the_label_is_the_column_called_so_or_the_chosen_or_the_only_one() -> None:
    lines = ["file,age,Label", *(f"{n:03d}.png,{n},{label}" for n, label in enumerate(LABELS))]
    assert read(lines) == LABELS
    lines[0] = "file,age,kind of animal"
    assert read(lines) == LABELS
    assert read(lines, "Kind of Animal") == LABELS
    lines = ["file,group,Finding Label", *(f"{n:03d},{'ab'[n // 3]},{label}" for n, label in enumerate(LABELS))]
    assert read(lines) == LABELS
    found = labels_of_files([table("a.csv", lines)], PICTURES, "nothing")
    assert isinstance(found, Unclear)
    assert "`Finding Label`" in found.reason


def test_columns_of_flags_are_classes() -> None:
    lines = [
        "image,cat,dog",
        *(f"{n:03d},{int(label == 'cat')},{int(label == 'dog')}" for n, label in enumerate(LABELS)),
    ]
    assert read(lines) == LABELS


def test_labels_that_look_like_numbers_stay_as_they_are_written() -> None:
    codes = ["01", "1_1", "1e2"] * 2
    assert read(["id,label", *(f"{number:03d},{code}" for number, code in enumerate(codes))]) == codes


def test_splits_come_from_a_column_or_from_several_tables_or_from_folders() -> None:
    used = ["Training", "Training", "PublicTest", "PrivateTest", "Training", "Training"]
    lines = ["file,label,Usage", *(f"{n:03d},{label},{used[n][-4:]}" for n, label in enumerate(LABELS))]
    lines = [line.replace(",ning", ",Training") for line in lines]
    found = labels_of_files([table("a.csv", lines)], PICTURES)
    assert isinstance(found, TableLabels)
    assert [found.splits[name] for name in PICTURES] == [0, 0, 2, 2, 0, 0]
    parts = [
        table("train.csv", ["file,label", *(f"{n:03d},{LABELS[n]}" for n in range(4))]),
        table("test.csv", ["file,label", *(f"{n:03d},{LABELS[n]}" for n in range(4, 6))]),
    ]
    found = labels_of_files(parts, PICTURES)
    assert isinstance(found, TableLabels)
    assert [found.splits[name] for name in PICTURES] == [0] * 4 + [2] * 2
    pictures = [f"{'train' if number < 4 else 'valid'}/{number}.png" for number in range(6)]
    found = labels_of_files([table("a.csv", ["id,label", *(f"{n},{LABELS[n]}" for n in range(6))])], pictures)
    assert isinstance(found, TableLabels)
    assert [found.splits[name] for name in pictures] == [0] * 4 + [1] * 2


def test_the_same_names_in_train_and_test_are_told_apart_by_the_tables_name() -> None:
    pictures = [f"{split}/{number}.png" for split in ("train", "test") for number in range(3)]
    found = labels_of_files([table("trainLabels.csv", ["id,label", "0,cat", "1,dog", "2,cat"])], pictures)
    assert isinstance(found, TableLabels)
    assert found.labels == {"train/0.png": "cat", "train/1.png": "dog", "train/2.png": "cat"}


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["file,label,xmin,xmax", *(f"{n:03d},cat,1,2" for n in range(6))], "boxes"),
        (["file,label", *(f"{n % 3:03d},{LABELS[n]}" for n in range(6))], "several labels"),
        (["file,a,b", *(f"{n:03d},{n % 2},{n % 3}" for n in range(6))], "say `label_column`"),
    ],
)
def test_a_table_without_one_label_for_each_picture_says_so(lines: list[str], words: str) -> None:
    found = labels_of_files([table("a.csv", lines)], PICTURES)
    assert isinstance(found, Unclear)
    assert words in found.reason


def test_a_table_of_other_things_names_no_pictures() -> None:
    assert labels_of_files([table("a.csv", ["height,width", "1,2", "3,4"])], PICTURES) is None
