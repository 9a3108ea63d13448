"""What people call the parts of a dataset: `trn`, `Train_Images`, `validation`, `cv_2`, `val2017`, `seg_test`."""

import re
from collections.abc import Collection
from functools import lru_cache

from worker.importing.splits import SPLIT_NAMES, TEST, TRAIN, VAL

SHORT_WORDS = {"tr": TRAIN, "va": VAL, "te": TEST, "ts": TEST}
"""Meant only where every folder beside them is a split too."""
FILLER = {
    "image", "images", "img", "imgs", "picture", "pictures", "pic", "pics", "photo", "photos", "data", "dataset",
    "datasets", "set", "sets", "split", "splits", "sample", "samples", "file", "files", "folder", "dir", "jpg", "jpeg",
    "jpegs", "png", "pngs", "input", "inputs", "raw", "resized", "crop", "cropped", "crops", "small", "full", "all",
    "new", "final", "original", "orig", "the", "my", "label", "labels", "labelled", "labeled", "metadata", "meta",
    "annotation", "annotations", "class", "classes", "list", "csv", "truth", "ground", "ids", "x", "v", "px",
}  # fmt: skip
"""Words beside a split's own that say nothing more."""
SPLIT_TITLES = ("train", "val", "test")


@lru_cache(maxsize=2**14)
def split_of(name: str, *, short: bool = False) -> int | None:
    """The split (0 train, 1 val, 2 test) that a name stands for and says nothing else; None for any other name."""
    splits, others = _read(name, short=short)
    return splits[0] if len(set(splits)) == 1 and not others else None


def splits_of(names: Collection[str]) -> dict[str, int] | None:
    """The split of each of the folders beside each other that is one; None where they are no splits.

    Words beside the split's own are allowed where every name has one, or they are the same (`seg_train`, `seg_test`).
    """
    strict = {name: split for name in names if (split := split_of(name, short=True)) is not None}
    if len(strict) == len(names):
        return strict
    hinted = {name: splits[0] for name in names if len(set(splits := _read(name, short=False)[0])) == 1}
    beside = {tuple(_read(name, short=False)[1]) for name in hinted}
    if _is_partition(hinted) and (len(hinted) == len(names) or (len(beside) == 1 and beside != {()})):
        return hinted
    plain = {name: split for name in names if (split := split_of(name)) is not None}
    return plain if _is_partition(plain) else None


def _is_partition(splits: dict[str, int]) -> bool:
    return TRAIN in splits.values() and len(set(splits.values())) > 1


def _read(name: str, *, short: bool) -> tuple[list[int], list[str]]:
    """The splits that a name mentions, and its other words that mean something."""
    words = SPLIT_NAMES | SHORT_WORDS if short else SPLIT_NAMES
    splits, others = [], []
    for word in tokens(name):
        split = words.get(word, words.get(_without_filler(word)))
        if split is not None:
            splits.append(split)
        elif word not in FILLER and len(word) > 1:
            others.append(word)
    if set(splits) == {TRAIN, VAL}:  # `train_val`, as the one beside `test` is called
        splits = [TRAIN]
    return splits, others


def tokens(name: str) -> list[str]:
    """The words of a name in small letters, without numbers: `TrainImages_2` is train and images."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return [word.casefold() for word in re.findall(r"[^\W\d_]+", spaced)]


def _without_filler(word: str) -> str:
    """`trainset` and `testdata` as `train` and `test`."""
    for split in SPLIT_NAMES:
        if len(split) > 2 and word.startswith(split) and word[len(split) :] in FILLER:
            return split
        if len(split) > 2 and word.endswith(split) and word[: -len(split)] in FILLER:
            return split
    return word
