"""Tables: read row by row, once their form is known: to learn what each column is, then to pack it.

Numbers stay numbers; text becomes one feature a category; empty cells are missing values. A column of texts that hardly
repeat is left out and listed. Lines that do not fit and rows without a label are corrupt.
"""

from collections import Counter
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from service.errors import ImportRefusedError
from service.events import Event, Progress
from worker.importing.archives.listing import MAX_BYTES
from worker.importing.imputation import impute
from worker.importing.labels import MAX_CLASSES, Numbered, number_texts
from worker.importing.names import printable
from worker.importing.npy_rows import create_rows, open_rows
from worker.importing.raw_data import Input, RawData, Reading
from worker.importing.splits import TRAIN
from worker.importing.tables.cells import MISSING
from worker.importing.tables.columns import Column, Encoding, Kind, encode, settle_decimals
from worker.importing.tables.csv_file import Table, open_table
from worker.importing.tables.formats import FAULTS, open_lines
from worker.importing.tables.header import fold
from worker.importing.tables.pixels import make_pictures
from worker.importing.tables.split_column import Split, find_split
from worker.importing.tables.table_notes import table_notes

PROGRESS_ROWS = 20_000
OF_PICTURES = {
    "width", "height", "channels", "depth", "size", "xmin", "ymin", "xmax", "ymax", "x min", "y min", "x max", "y max",
    "x", "y", "w", "h", "x1", "y1", "x2", "y2", "bbox", "left", "top", "right", "bottom", "area",
    "roi.x1", "roi.y1", "roi.x2", "roi.y2", "roi x1", "roi y1", "roi x2", "roi y2",
}  # fmt: skip
CLASS_SHARE = 0.05
"""Of the rows; a word such as `None` that is as common is a class of its own, and so is one as common as the others."""


def load_table(file: Input) -> Reading:
    """Float32 features and class labels; ImportRefusedError names the column or line that does not fit."""
    return load_rows(lambda: open_table(open_lines(file), file.options.label_column), file.context.scratch)


def load_rows(open_it: Callable[[], Table], scratch: Path) -> Reading:
    """The same for the rows of several files."""
    try:
        table = open_it()
        learned = yield from _learn(table)
        encodings = choose_features(table, learned.split)
        raw = yield from _pack(table, encodings, learned, scratch)
    except FAULTS as error:
        raise ImportRefusedError("csv-malformed", f"not a CSV table: {printable(str(error))}") from error
    if told := make_pictures(raw, table.columns, encodings, scratch):
        table.notes.append(told)
        encodings = []
    left_out = [column for column in table.columns if column.why_left_out]
    raw.corrupt = learned.corrupt
    raw.ignored = [{"file": f"column `{column.name}`", "reason": column.why_left_out} for column in left_out]
    raw.notes += table_notes(table.columns, encodings, left_out, table.notes)
    return raw


@dataclass
class Learned:
    """What the first reading of a table found."""

    samples: int = 0
    corrupt: list[dict[str, str]] = field(default_factory=list)
    labels: Counter[str] = field(default_factory=Counter)
    split: Split | None = None


def _learn(table: Table) -> Generator[Event, None, Learned]:
    """Reads every row once: what the columns hold, how many rows can be used, and the lines that cannot."""
    learned = Learned()
    doubtful: dict[str, list[str]] = {}
    for where, row, _ in table.rows():
        if reason := table.fault(row):
            learned.corrupt.append({"file": where, "reason": reason})
            continue
        learned.samples += 1
        label = row[table.label]
        learned.labels[label] += 1
        if len(learned.labels) > MAX_CLASSES:
            raise ImportRefusedError(
                "labels-not-classes", f"more than {MAX_CLASSES:,} different labels: these are no classes"
            )
        if label.casefold() in MISSING:
            doubtful.setdefault(label.casefold(), []).append(where)
        for column, cell in zip(table.columns, row, strict=True):
            column.learn(cell)
        if learned.samples % PROGRESS_ROWS == 0:
            yield Progress(0.3, learned.samples)
    table.not_labels = frozenset(doubtful) - _classes_of_words(learned.labels, table)
    for word in table.not_labels:
        learned.samples -= len(doubtful[word])
        row = [word if index == table.label else "" for index in range(len(table.columns))]
        learned.corrupt += [{"file": where, "reason": table.fault(row) or ""} for where in doubtful[word]]
    if learned.samples == 0:
        why = f": {learned.corrupt[0]['file']}: {learned.corrupt[0]['reason']}" if learned.corrupt else ""
        raise ImportRefusedError("csv-empty", f"the table has no row that can be used{why}")
    settle_decimals(table.columns, table.parts[0].dialect.delimiter)
    learned.split = find_split(table.columns, table.label)
    if learned.split is not None:
        table.notes.append(learned.split.note)
    return learned


def _classes_of_words(labels: Counter[str], table: Table) -> set[str]:
    """Words such as `None` that are labels as the others are: as common, and not among numbers."""
    others = [count for text, count in labels.items() if text.casefold() not in MISSING]
    if others and all(_is_number(text) for text in labels if text.casefold() not in MISSING):
        return set()
    counts: Counter[str] = Counter()
    for text, count in labels.items():
        if text.casefold() in MISSING:
            counts[text.casefold()] += count
    enough = min(CLASS_SHARE * labels.total(), float(np.median(others)) if others else 0.0)
    classes = {word for word, count in counts.items() if count >= max(enough, 2)}
    table.notes += [
        f"the label `{text}` ({count:,} rows) is a class of its own; leave the cell empty where a label is missing"
        for text, count in labels.items()
        if text.casefold() in classes
    ]
    return classes


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def choose_features(table: Table, split: Split | None) -> list[Encoding]:
    """The features of a row; ImportRefusedError when there are none."""
    encodings = []
    for index, column in enumerate(table.columns):
        if index == table.label:
            continue
        column.why_left_out = _why_left_out(index, column, split)
        encoding = None if column.why_left_out else encode(index, column)
        if encoding is not None:
            encodings.append(encoding)
    if not encodings or _are_boxes(table.columns, encodings):
        raise ImportRefusedError("csv-no-features", _no_features(table.columns))
    return encodings


def _why_left_out(index: int, column: Column, split: Split | None) -> str:
    if split is not None and index == split.column:
        return "tells the split"
    if column.kind in (Kind.PICTURE_NAMES, Kind.FREE_TEXT, Kind.EMPTY):
        return column.kind.value
    return "tells rows apart" if column.is_id() else ""


def _are_boxes(columns: Sequence[Column], encodings: Sequence[Encoding]) -> bool:
    """Whether the features only say how large pictures are and where things are in them."""
    names = {fold(columns[encoding.column].name) for encoding in encodings}
    return names <= OF_PICTURES and any(column.kind == Kind.PICTURE_NAMES for column in columns)


def _no_features(columns: Sequence[Column]) -> str:
    names = [column for column in columns if column.kind == Kind.PICTURE_NAMES]
    if names:
        return (
            f"column `{names[0].name}` holds names of pictures, and a table holds no pictures: upload the pictures "
            "with the table in one archive, or in a folder for each class"
        )
    left = ", ".join(f"`{column.name}` ({column.why_left_out})" for column in columns if column.why_left_out)
    hint = (
        f": left out are {left}. Where a column names pictures, upload them with the table in one archive"
        if left
        else ""
    )
    return f"no column beside the label can be used{hint}"


def _numbered(labels: Sequence[str], column: str) -> Numbered:
    """The class of each row; a refusal names the column, which may not be the one that was meant."""
    try:
        return number_texts(labels)
    except ImportRefusedError as error:
        detail = f"{error.detail}. They stand in the column `{column}`; the option `label_column` names another"
        raise ImportRefusedError(error.reason, detail) from error


def _pack(table: Table, encodings: Sequence[Encoding], learned: Learned, scratch: Path) -> Reading:
    """Writes every row that can be used."""
    feature_names = [name for encoding in encodings for name in encoding.names]
    if learned.samples * len(feature_names) * 4 > MAX_BYTES:
        raise ImportRefusedError("csv-too-large", f"{learned.samples:,} rows of {len(feature_names):,} features")
    path = scratch / "packed" / "x.npy"
    path.parent.mkdir(parents=True, exist_ok=True)
    create_rows(path, (learned.samples, len(feature_names)), np.dtype(np.float32))
    x, labels, splits, names = open_rows(path), [], [], []
    split = learned.split if learned.split is not None and learned.split.numbers else None
    good = ((where, row, part) for where, row, part in table.rows() if table.fault(row) is None)
    for at, (where, row, part) in enumerate(good):
        values = [value for encoding in encodings for value in encoding.read(row[encoding.column])]
        with np.errstate(over="ignore"):  # too large for float32: infinite, and so missing
            x[at] = values
        labels.append(row[table.label])
        names.append(where)
        if part is not None:
            splits.append(part)
        elif split is not None:
            splits.append(split.numbers.get(row[split.column], TRAIN))
        if at % PROGRESS_ROWS == 0:
            yield Progress(0.3 + 0.4 * at / learned.samples, at, learned.samples)
    y_N, classes, notes = _numbered(labels, table.columns[table.label].name)
    return RawData(
        x=x,
        y=y_N,
        classes=classes,
        split=np.array(splits, np.uint8) if splits else None,
        names=names,
        feature_names=feature_names,
        categories={
            table.columns[encoding.column].name: encoding.categories for encoding in encodings if encoding.categories
        },
        impute=partial(impute, names=feature_names),
        notes=notes,
        dtype="text",
        is_ordered=True,
    )
