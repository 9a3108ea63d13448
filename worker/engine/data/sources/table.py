"""CSV tables with a header: numeric columns as they are, text as one column a category, one column of labels."""

import csv
from pathlib import Path

import numpy as np

from service.errors import ImportRefusedError
from worker.engine.data.raw import RawData

LABELS = ("label", "target", "class", "y")
MAX_ROWS = 5_000_000
MAX_CATEGORIES = 100


def load_csv(path: Path, label_column: str | None) -> RawData:
    """Float32 features and class labels; ImportRefusedError names the column and the row that do not fit."""
    header, rows = _read(path)
    label = _label_column(header, label_column)
    columns = list(zip(*rows, strict=True))
    labels = columns[label]
    if "" in labels:
        raise ImportRefusedError("csv-missing", f"row {labels.index('') + 2} has no label in `{header[label]}`")
    classes = sorted(set(labels), key=_natural)
    features = [_encode(name, columns[at]) for at, name in enumerate(header) if at != label]
    if not features:
        raise ImportRefusedError("csv-columns", "there is no column beside the label")
    number = {name: index for index, name in enumerate(classes)}
    return RawData(
        x=np.column_stack([values for _, values in features]).astype(np.float32),
        y=np.array([number[name] for name in labels], dtype=np.int64),
        classes=classes,
        feature_names=[name for names, _ in features for name in names],
        names=[f"row {row + 2}" for row in range(len(rows))],
        dtype="float32",
    )


def _read(path: Path) -> tuple[list[str], list[list[str]]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, strict=True)
            header = [name.strip() for name in next(reader, [])]
            rows: list[list[str]] = []
            for row in reader:
                if not row:
                    continue
                if len(row) != len(header):
                    raise ImportRefusedError(
                        "csv-malformed", f"line {reader.line_num} has {len(row)} values, the header has {len(header)}"
                    )
                rows.append([value.strip() for value in row])
                if len(rows) > MAX_ROWS:
                    raise ImportRefusedError("csv-too-long", f"more than {MAX_ROWS:,} rows")
    except (UnicodeDecodeError, csv.Error, OSError) as error:
        raise ImportRefusedError("csv-malformed", f"not a CSV in UTF-8: {error}") from error
    if not rows or len(set(header)) < len(header):
        raise ImportRefusedError("csv-malformed", "a header with different names and at least one row are needed")
    return header, rows


def _label_column(header: list[str], wanted: str | None) -> int:
    names = [wanted] if wanted is not None else list(LABELS)
    for name in names:
        if name in header:
            return header.index(name)
    raise ImportRefusedError(
        "csv-label",
        f"no column is named {' or '.join(repr(name) for name in names)}; set `label_column`. Found {header[:50]}",
    )


def _natural(label: str) -> tuple[int, float, str]:
    """Numbers in the order of their size, before words."""
    try:
        return (0, float(label), label)
    except ValueError:
        return (1, 0.0, label)


def _encode(name: str, values: tuple[str, ...]) -> tuple[list[str], "np.ndarray"]:
    """The names and the values (N, columns) that one column becomes."""
    if "" in values:
        raise ImportRefusedError("csv-missing", f"column `{name}` is empty in row {values.index('') + 2}")
    try:
        numbers = np.array([float(value) for value in values])
    except ValueError:
        return _one_hot(name, values)
    if not np.isfinite(numbers).all():
        raise ImportRefusedError("features-not-finite", f"column `{name}` holds NaN or infinity")
    return [name], numbers[:, None]


def _one_hot(name: str, values: tuple[str, ...]) -> tuple[list[str], "np.ndarray"]:
    categories = sorted(set(values))
    if len(categories) > MAX_CATEGORIES:
        raise ImportRefusedError(
            "csv-categories",
            f"column `{name}` holds {len(categories):,} different texts; at most {MAX_CATEGORIES} can be encoded",
        )
    column = np.array(values)
    return [f"{name}={category}" for category in categories], np.stack([column == each for each in categories], axis=1)
