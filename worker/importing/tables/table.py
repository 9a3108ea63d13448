"""CSV tables: read row by row, once their encoding is known: to learn what each column is, then to pack it.

Numbers stay numbers; text becomes one feature a category; empty cells are missing values. A column of texts that hardly
repeat is left out and listed. Lines that do not fit and rows without a label are corrupt.
"""

import csv
import zlib
from collections.abc import Generator
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from service.errors import ImportRefusedError
from service.events import Event, Progress
from service.reports.finding import Finding
from worker.importing.archives.listing import MAX_BYTES
from worker.importing.findings import finding
from worker.importing.imputation import impute
from worker.importing.labels import number_labels
from worker.importing.names import printable
from worker.importing.npy_rows import create_rows, open_rows
from worker.importing.raw_data import Input, RawData, Reading
from worker.importing.splits import SPLIT_NAMES
from worker.importing.tables.columns import MAX_CATEGORIES, NUMBERS, TEXT, Column, Feature, encode, number
from worker.importing.tables.csv_file import Table, open_table

SUFFIXES = (".csv", ".tsv", ".csv.gz", ".tsv.gz", ".txt", ".tab")
FAULTS = (csv.Error, OSError, UnicodeError, EOFError, ValueError, zlib.error)
PROGRESS_ROWS = 20_000


def is_table(file: Input) -> bool:
    """By its name, since any text may be a table."""
    return file.name.lower().endswith(SUFFIXES)


def load_table(file: Input) -> Reading:
    """Float32 features and class labels; ImportRefusedError names the column or line that does not fit."""
    try:
        table = open_table(file.path, file.options.label_column)
        samples, corrupt = yield from _learn(table)
        features, left_out = choose_features(table)
        raw = yield from _pack(table, features, samples, file.context.scratch)
    except FAULTS as error:
        raise ImportRefusedError("csv-malformed", f"not a CSV table: {printable(str(error))}") from error
    raw.corrupt = corrupt
    raw.ignored = [
        {"file": f"column `{name}`", "reason": f"more than {MAX_CATEGORIES} different texts"} for name in left_out
    ]
    raw.notes += [_note_left_out(left_out), _note_encoded(list(raw.categories))]
    return raw


def _learn(table: Table) -> Generator[Event, None, tuple[int, list[dict[str, str]]]]:
    """Reads every row once: how many can be used, and the lines that cannot."""
    samples = 0
    corrupt: list[dict[str, str]] = []
    splits: set[str] = set()
    for line, row in table.rows():
        if reason := table.fault(row):
            corrupt.append({"file": f"line {line}", "reason": reason})
            continue
        samples += 1
        for column, cell in zip(table.columns, row, strict=True):
            column.learn(cell, table.decimal)
        if table.split is not None and len(splits) < 100:
            splits.add(row[table.split].strip().lower())
        if samples % PROGRESS_ROWS == 0:
            yield Progress(0.3, samples)
    if not splits <= SPLIT_NAMES.keys():
        table.split = None
    if samples == 0:
        raise ImportRefusedError("csv-empty", "the table has no row that can be used")
    return samples, corrupt


def choose_features(table: Table) -> tuple[list[Feature], list[str]]:
    """The features of a row, and the columns that are left out."""
    features: list[Feature] = []
    left_out = []
    for index, column in enumerate(table.columns):
        if index in (table.label, table.split):
            continue
        if column.kind == TEXT and column.is_free_text:
            left_out.append(column.name)
        else:
            features += encode(index, column)
    if not features:
        raise ImportRefusedError("csv-no-features", "no column beside the label can be used")
    return features, left_out


def _pack(table: Table, features: list[Feature], samples: int, scratch: Path) -> Reading:
    """Writes every row that can be used."""
    if samples * len(features) * 4 > MAX_BYTES:
        raise ImportRefusedError("csv-too-large", f"{samples:,} rows of {len(features):,} features")
    path = scratch / "packed" / "x.npy"
    path.parent.mkdir(parents=True, exist_ok=True)
    create_rows(path, (samples, len(features)), np.dtype(np.float32))
    x, labels, splits, names = open_rows(path), [], [], []
    good = ((line, row) for line, row in table.rows() if table.fault(row) is None)
    for at, (line, row) in enumerate(good):
        values = [feature.value(row[feature.column], table.decimal) for feature in features]
        with np.errstate(over="ignore"):  # too large for float32: infinite, and so missing
            x[at] = values
        labels.append(row[table.label].strip())
        names.append(f"line {line}")
        if table.split is not None:
            splits.append(SPLIT_NAMES[row[table.split].strip().lower()])
        if at % PROGRESS_ROWS == 0:
            yield Progress(0.3 + 0.4 * at / samples, at, samples)
    y_N, classes, notes = _labels(labels, table.columns[table.label], table.decimal)
    texts = {
        table.columns[feature.column].name: table.columns[feature.column] for feature in features if feature.is_flag
    }
    feature_names = [feature.name for feature in features]
    return RawData(
        x=x,
        y=y_N,
        classes=classes,
        split=np.array(splits, np.uint8) if table.split is not None else None,
        names=names,
        feature_names=feature_names,
        categories={name: [printable(text) for text in sorted(column.texts)] for name, column in texts.items()},
        impute=partial(impute, names=feature_names),
        notes=notes,
        dtype="text",
        is_ordered=True,
    )


def _labels(
    labels: list[str], column: Column, decimal: str
) -> tuple[NDArray[np.int64], list[str], list[Finding | None]]:
    """Numbers in the order of their size where all labels are numbers, else text."""
    if column.kind != NUMBERS:
        return number_labels(np.array(labels))
    numbers = np.array([number(label, decimal) for label in labels], np.float64)
    is_whole = bool(np.isfinite(numbers).all()) and not (numbers % 1).any() and float(np.abs(numbers).max()) < 2**53
    return number_labels(numbers.astype(np.int64) if is_whole else numbers)


def _note_left_out(names: list[str]) -> Finding | None:
    if not names:
        return None
    listed = ", ".join(names[:20])
    return finding(
        "P25", "warning", f"Columns of text that hardly repeats were left out: {listed}.",
        "Make categories or numbers of them if they matter.", count=len(names), columns=names[:20],
    )  # fmt: skip


def _note_encoded(names: list[str]) -> Finding | None:
    if not names:
        return None
    return finding(
        "P26", "info", f"Columns of text became one feature a category: {', '.join(names[:20])}.",
        "Nothing; the profile's `meta.categories` records the encoding.", columns=names[:20],
    )  # fmt: skip
