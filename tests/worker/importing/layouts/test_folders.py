"""Folders as classes and splits, on literal lists of names; or why they are none."""

import pytest

from worker.importing.layouts.folders import FolderClasses, read_folders
from worker.importing.layouts.tree import Unclear


def paths(*folders: str, count: int = 4, more: str = "") -> list[str]:
    """Some pictures in each folder, and others by their names."""
    return [f"{folder}/{number}.png" for folder in folders for number in range(count)] + more.split()


def read(names: list[str], layout: str | None = None, split_folders: dict[str, str] | None = None) -> str:
    """Classes with their splits in a line, as in `cat:0,2 dog:0`; `?` and the reason where it is unclear."""
    found = read_folders(names, layout, split_folders)
    if isinstance(found, Unclear):
        return f"? {found.reason}"
    splits: dict[str, set[int]] = {}
    for name, label in found.labels.items():
        splits.setdefault(label, set()).update([found.splits[name]] if name in found.splits else [])
    return " ".join(f"{label}:{','.join(map(str, sorted(splits[label])))}".rstrip(":") for label in sorted(splits))


@pytest.mark.parametrize(
    ("names", "classes"),
    [
        (paths("cat", "dog"), "cat dog"),
        (paths("a/b/cat", "a/b/dog"), "cat dog"),
        (paths("dataset/dataset/cat", "dataset/dataset/dog"), "cat dog"),
        (paths("cells/cat", "cells/dog", "cells/cells/cat", "cells/cells/dog"), "cat dog"),
        (paths("data/cat", "data/dog", count=9, more="docs/figure.png preview.png"), "cat dog"),
        (paths("data/cat", "data/dog", more="a.png") + paths("results", count=20), "cat dog"),
        (paths("cat/images", "dog/images"), "cat dog"),
        (paths("cat/images", "dog/images", "cat/masks", "dog/masks"), "cat dog"),
        (paths("cat/1", "cat/2", "dog/1", "dog/2", "dog/3"), "? the folders"),
        (paths("cat/view1", "cat/img_2", "dog/part_1", "dog/img_2"), "cat dog"),
        (paths("cat", "dog", "unlabeled"), "cat dog"),
        (paths("cat", "dog", "predictions"), "cat dog"),
        (paths("0", "1", "2", "3"), "0 1 2 3"),
        (paths("fold1/cat", "fold1/dog", "fold2/cat", "fold2/dog"), "cat dog"),
        (paths("writer1/a", "writer1/b", "writer2/a", "writer2/b"), "a b"),
        (paths("person1", "person2"), "person1 person2"),
        (paths("images_001/images", "images_002/images"), "? the folders `images_001`"),
        (paths("batch1", "batch2"), "? the folders `batch1` and `batch2` are numbered parts"),
        (paths("2021-01", "2021-02"), "? the folders `2021-01`"),
        (paths("images", "masks"), "? the folders `images` and `masks`"),
        (paths("outputs", "results"), "? the folders `outputs` and `results`"),
        (paths("amazon/mug", "amazon/pen", "webcam/mug", "webcam/pen"), "? the folders `amazon` and `webcam`"),
        (paths("data/a", "data/b") + paths("runs/exp1", "runs/exp2"), "a b"),
        (paths("cat", "dog", "cat_masks", "dog_masks"), "cat dog"),
        (paths("cv1/a", "cv1/b", "cv2/a", "cv2/b"), "a b"),
        (paths("New folder (1)", "New folder (2)"), "? the folders `New folder (1)`"),
        (paths(*(f"{top}/{sub}" for top in range(6) for sub in range(3))), "? the folders `0`, `1`, `2`"),
        (paths("cat", "output"), "? the folders `cat` and `output`"),
        (paths("pictures"), "? the folder `pictures`"),
    ],
)
def test_classes(names: list[str], classes: str) -> None:
    assert read(names).startswith(classes)
    assert classes.startswith("?") or read(names) == classes


@pytest.mark.parametrize(
    ("names", "classes"),
    [
        (paths("trn/cat", "trn/dog", "tst/cat", "tst/dog"), "cat:0,2 dog:0,2"),
        (paths("Train_Images/cat", "Train_Images/dog", "Validation_Images/cat"), "cat:0,1 dog:0"),
        (paths("images/train/cat", "images/train/dog", "images/cv_2/dog"), "cat:0 dog:0,1"),
        (paths("train/images/cat", "train/images/dog", "test/images/dog"), "cat:0 dog:0,2"),
        (paths("seg_train/seg_train/cat", "seg_train/seg_train/dog", "seg_test/seg_test/cat", "seg_pred/seg_pred"),
         "cat:0,2 dog:0"),
        (paths("train/cat", "train/dog", "test"), "cat:0 dog:0"),
        (paths("cat/train", "cat/test", "dog/train", "dog/test"), "cat:0,2 dog:0,2"),
        (paths("cat", "dog", "test/cat", "test/dog"), "cat:0,2 dog:0,2"),
        (paths("train/cat", "train/dog", "test/cat", "extra/cat", more="readme.png"), "cat:0,2 dog:0"),
        (paths("train/cat", "train/dog"), "cat dog"),
        (paths("train_val/cat", "train_val/dog", "test/cat"), "cat:0,2 dog:0"),
        (paths("imagesTr/cat", "imagesTr/dog", "imagesTs/cat"), "cat:0,2 dog:0"),
        (paths("cat/train/images", "cat/test/images", "dog/train/images", "dog/test/images"), "cat:0,2 dog:0,2"),
        (paths("train", "test"), "? `train` and `test` are folders of splits"),
        (paths("images/train", "images/val"), "? `train` and `val` are folders of splits"),
        (paths("train/images", "valid/images"), "? `train` and `valid` are folders of splits without folders of "
         "classes in them: they hold `images`"),
        (paths("val/cat", "val/dog", "test/cat", "test/dog"), "? `val` and `test` hold folders of classes, and no"),
        (paths("fold1/train/cat", "fold1/test/cat", "fold2/train/cat", "fold2/test/cat"), "? each of the"),
        (paths("amazon/train/mug", "amazon/test/mug", "dslr/train/mug", "dslr/test/mug"), "? each of the"),
        (paths("cat", "test"), "? `test` are names of splits"),
        (paths("bus", "car", "train"), "bus car train"),
        (paths("cat", "dog", "test"), "cat dog"),
    ],
)  # fmt: skip
def test_splits(names: list[str], classes: str) -> None:
    assert read(names).startswith(classes)
    assert classes.startswith("?") or read(names) == classes


def test_what_was_decided_is_said_and_what_was_left_out_is_listed() -> None:
    found = read_folders(paths("bus", "car", "train"))
    assert isinstance(found, FolderClasses)
    assert found.said[0].startswith("`train` was taken for a class")
    found = read_folders(paths("train/cat", "train/dog", "test", more="train/logo.png"))
    assert isinstance(found, FolderClasses)
    assert found.ignored.keys() == {f"test/{number}.png" for number in range(4)} | {"train/logo.png"}
    assert "its 4 pictures were left out" in found.said[0]


def test_options_say_how_folders_are_meant() -> None:
    domains = paths("amazon/mug", "amazon/pen", "webcam/mug", "webcam/pen")
    assert read(domains, "folders") == "amazon webcam"
    assert read(domains, "subfolders") == "mug pen"
    assert read(paths("train", "test"), "folders") == "test train"
    folds = paths("fold1/cat", "fold1/dog", "fold2/cat", "fold2/dog", "old/cat")
    assert read(folds, None, {"Fold1": "train", "fold2": "test"}) == "cat:0,2 dog:0,2"
    assert read(folds, None, {"fold1": "train", "fold2": "ignore"}) == "cat:0 dog:0"
    nested = paths("fold1/train/cat", "fold1/train/dog", "fold1/test/cat", "fold2/train/cat")
    assert read(nested, None, {"fold1/train": "train", "fold1/test": "val"}) == "cat:0,1 dog:0"
    assert read(paths("cat", "dog", "test"), None, {"test": "ignore"}) == "cat dog"
