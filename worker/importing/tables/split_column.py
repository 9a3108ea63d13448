"""Columns that say which split a row belongs to, whatever they and the splits are called."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from service.errors import ImportRefusedError
from worker.importing.names import printable
from worker.importing.splits import SPLIT_NAMES, TEST, TRAIN, VAL
from worker.importing.tables.columns import Column

NAMES = {"split", "splits", "usage", "subset", "partition", "datasplit", "traintest", "trainortest", "trainvaltest",
         "settype", "splittype", "splitname"}  # fmt: skip
SPLITS = {"split", "splits", "datasplit"}
FOLDS = re.compile(r"(?:cv|k|kf)?folds?(?:id|no|number|index)?|cv|kfold\d*")
FLAGS = {"istrain": (TRAIN, TEST), "istraining": (TRAIN, TEST), "istest": (TEST, TRAIN), "isholdout": (TEST, TRAIN),
         "isval": (VAL, TRAIN), "isvalid": (VAL, TRAIN), "isvalidation": (VAL, TRAIN)}  # fmt: skip
"""The splits that yes and no mean."""
YES, NO = {"true", "1", "1.0", "yes", "y", "t"}, {"false", "0", "0.0", "no", "n", "f"}
WORDS = {
    "tr": TRAIN, "learn": TRAIN, "learning": TRAIN, "fit": TRAIN, "public": VAL, "publictest": VAL, "tune": VAL,
    "tuning": VAL, "te": TEST, "private": TEST, "privatetest": TEST,
} | SPLIT_NAMES  # fmt: skip


@dataclass(frozen=True)
class Split:
    """The column that tells the split, and the split of each of its texts."""

    column: int
    numbers: dict[str, int]
    """Empty for the numbers of folds, which say nothing of train, val and test."""
    note: str


def find_split(columns: Sequence[Column], label: int) -> Split | None:
    """The first column that is one; ImportRefusedError for one that cannot be followed."""
    for index, column in enumerate(columns):
        if index != label and not column.has_many_texts and column.texts:
            split = _split(index, column)
            if split is not None:
                return split
    return None


def _split(index: int, column: Column) -> Split | None:
    name = _squeeze(column.name)
    numbers = _flags(name, column) or {
        text: number for text in column.texts if (number := split_word(text)) is not None
    }
    unknown = [text for text in column.texts if text not in numbers]
    given = set(numbers.values())
    if (FOLDS.fullmatch(name) or name in SPLITS) and not numbers:
        note = f"column `{column.name}` names no train, val and test and is left out"
        return Split(index, {}, note)
    if unknown and not (name in NAMES and TRAIN in given):
        return None
    if not unknown and name not in NAMES and name not in FLAGS and not (TRAIN in given and len(given) > 1):
        return None
    if unknown:
        others = ", ".join(f"`{printable(text)}`" for text in unknown[:5])
        raise ImportRefusedError(
            "split-unknown",
            f"column `{column.name}` names splits, and also {others}; "
            "write train, val or test, or give the column another name",
        )
    if TRAIN not in given and not column.missing:
        raise ImportRefusedError(
            "split-no-train",
            f"column `{column.name}` has no row of train ({_told(numbers)}); nothing can be learned",
        )
    rest = f"; {column.missing:,} rows without one are trained on" if column.missing else ""
    return Split(index, numbers | {"": TRAIN}, f"column `{column.name}` tells the splits ({_told(numbers)}){rest}")


def _flags(name: str, column: Column) -> dict[str, int]:
    if name not in FLAGS:
        return {}
    yes, no = FLAGS[name]
    known = {text: yes if text.casefold() in YES else no for text in column.texts if text.casefold() in YES | NO}
    return known if len(known) == len(column.texts) else {}


def split_word(text: str) -> int | None:
    """The split that a text names: `Train_set`, `2-val`, `X_test` and `validation data` as well."""
    words = [
        word for word in re.split(r"[^a-z]+", text.casefold()) if word not in ("", "x", "set", "split", "data", "the")
    ]
    squeezed = "".join(words)
    return WORDS.get(squeezed, WORDS.get(squeezed.removesuffix("set").removesuffix("data")))


def _squeeze(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "", name.casefold())


def _told(numbers: dict[str, int]) -> str:
    names = ("train", "val", "test")
    return ", ".join(f"`{printable(text)}`: {names[number]}" for text, number in list(numbers.items())[:6])
