"""Labels of pictures by a table beside them: which column names the files, which one is the label, which the split."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from worker.importing.layouts.folders import quoted
from worker.importing.layouts.label_files import LabelFile
from worker.importing.layouts.matching import PictureIndex, folder_split
from worker.importing.layouts.tree import Unclear
from worker.importing.split_names import split_of, tokens
from worker.importing.splits import TRAIN

FILE_WORDS = ("file_name", "filename", "file", "image", "image_id", "imageid", "img", "path", "filepath", "id", "name")
NUMBER_WORDS = {"id", "ids", "imageid", "file", "filename", "image", "img", "picture", "photo", "name", "no", "nr",
                "number", "index", "column"}  # fmt: skip
"""Words in the names of columns whose numbers may be pictures."""
LABEL_WORDS = (
    "label_name", "class_name", "classname", "label", "labels", "target", "class", "category", "category_name", "y",
    "species", "breed", "diagnosis", "dx", "class_id", "classid", "label_id", "labelid", "class_label", "category_id",
    "emotion", "tag", "type",
)  # fmt: skip
TELLING_WORDS = {"label", "labels", "class", "category", "species", "breed", "diagnosis"}
"""Words in the name of the label's column, where no other column has one."""
SPLIT_WORDS = ("split", "usage", "set", "subset", "partition", "phase", "data_set", "dataset", "fold", "data set")
BOX_WORDS = {
    "xmin",
    "x_min",
    "xmax",
    "x_max",
    "bbox",
    "ymin",
    "ymax",
    "x1",
    "rle",
    "encodedpixels",
    "segmentation",
    "polygon",
}
MIN_SHARE = 0.5
"""Of the rows, or of the pictures, that a column must name."""
MAX_CONFLICTS = 0.05
PROBED_ROWS = 2000


@dataclass
class TableLabels:
    """What a table says of pictures."""

    file: str
    column: str
    is_named: bool
    """Whether the column is called as labels are, or was chosen."""
    labels: dict[str, str] = field(default_factory=dict)
    splits: dict[str, int] = field(default_factory=dict)
    conflicts: set[str] = field(default_factory=set)
    """Pictures with several labels."""


def labels_of_files(
    files: Sequence[LabelFile], pictures: Collection[str], label_column: str | None = None
) -> TableLabels | Unclear | None:
    """The labels of the table that names most pictures, with those of its neighbours for other splits."""
    index = PictureIndex(pictures)
    read = [_read(file, index, len(pictures), label_column) for file in files]
    tables = sorted((table for table in read if isinstance(table, TableLabels)), key=lambda table: -len(table.labels))
    if not tables:
        return next((unclear for unclear in read if unclear is not None), None)
    first = tables[0]
    parts = [first] + [
        table for table in tables[1:] if table.column == first.column and not table.labels.keys() & first.labels.keys()
    ]
    whole = TableLabels(" and ".join(part.file for part in parts), first.column, first.is_named)
    for part in parts:
        whole.labels |= part.labels
        whole.splits |= part.splits
        whole.conflicts |= part.conflicts
    whole.splits = _complete(whole, parts)
    return whole


def _complete(whole: TableLabels, parts: Sequence[TableLabels]) -> dict[str, int]:
    """Splits by a column, else by the names of several tables, else by folders; none where they do not say all."""
    by_name = {
        name: split for part in parts for name in part.labels if (split := split_of(_stem(part.file))) is not None
    }
    by_folder = {name: split for name in whole.labels if (split := folder_split(name)) is not None}
    for splits in (whole.splits, by_name, by_folder):
        if splits.keys() == whole.labels.keys() and TRAIN in splits.values() and len(set(splits.values())) > 1:
            return splits
    return {}


def _read(
    file: LabelFile, index: PictureIndex, pictures: int, label_column: str | None
) -> TableLabels | Unclear | None:
    width = len(file.rows[0])
    split = split_of(_stem(file.name))
    has_header = file.has_header or not any(index.find(cell, file.folder, split) for cell in file.rows[0])
    rows = [row + [""] * (width - len(row)) for row in file.rows[has_header:] if len(row) <= width]
    columns = file.rows[0] if has_header else [f"column {number}" for number in range(1, width + 1)]
    names = _file_column(rows, columns, file, index, pictures)
    if names is None:
        return None
    if BOX_WORDS & {column.casefold() for column in columns}:
        return Unclear(f"`{file.name}` holds boxes or outlines, for detection, not one label for each picture")
    by_split = _split_column(rows, columns, names)
    labels = _label_column(rows, columns, names, by_split, label_column)
    if isinstance(labels, Unclear):
        return Unclear(f"`{file.name}` names the pictures in `{columns[names]}`, but {labels.reason}")
    column, is_named, texts = labels
    table = TableLabels(file.name, column, is_named)
    for row, text in zip(rows, texts, strict=True):
        row_split = split_of(row[by_split], short=True) if by_split is not None else None
        picture = index.find(row[names], file.folder, row_split if row_split is not None else split)
        if picture is None or not text:
            continue
        if table.labels.setdefault(picture, text) != text:
            table.conflicts.add(picture)
        if row_split is not None:
            table.splits[picture] = row_split
    return _checked(table)


def _checked(table: TableLabels) -> TableLabels | Unclear | None:
    if len(table.conflicts) > MAX_CONFLICTS * len(table.labels):
        return Unclear(f"`{table.file}` has several labels for a picture: one class for each is needed")
    for name in table.conflicts:
        del table.labels[name]
        table.splits.pop(name, None)
    classes = len(set(table.labels.values()))
    if len(table.labels) >= 20 and classes > len(table.labels) / 2:
        return Unclear(
            f"column `{table.column}` of `{table.file}` has {classes:,} different values for {len(table.labels):,} "
            "pictures: these are no classes"
        )
    return table if table.labels else None


def _file_column(
    rows: Sequence[Sequence[str]], columns: Sequence[str], file: LabelFile, index: PictureIndex, pictures: int
) -> int | None:
    """The column whose cells name most pictures, if it names half of its rows' or of all."""
    probed = rows[:: max(len(rows) // PROBED_ROWS, 1)]
    split = split_of(_stem(file.name))
    best, best_score = None, (0, False)
    for number, column in enumerate(columns):
        if all(row[number].isdecimal() for row in probed) and not NUMBER_WORDS & set(tokens(column)):
            continue
        hits = [picture for row in probed if (picture := index.find(row[number], file.folder, split)) is not None]
        distinct = len(set(hits))
        is_enough = len(hits) >= MIN_SHARE * len(probed) or distinct * len(rows) >= MIN_SHARE * pictures * len(probed)
        score = (distinct, column.casefold() in FILE_WORDS)
        if is_enough and distinct and score > best_score:
            best, best_score = number, score
    return best


def _split_column(rows: Sequence[Sequence[str]], columns: Sequence[str], names: int) -> int | None:
    for number, column in enumerate(columns):
        if number != names and column.casefold() in SPLIT_WORDS:
            values = {row[number] for row in rows}
            if all(split_of(value, short=True) is not None for value in values):
                return number
    return None


def _label_column(
    rows: Sequence[Sequence[str]], columns: Sequence[str], names: int, by_split: int | None, chosen: str | None
) -> tuple[str, bool, list[str]] | Unclear:
    """The label's column, whether it is called so, and the label of each row."""
    folded = [column.casefold().strip().replace(" ", "_") for column in columns]
    others = [number for number in range(len(columns)) if number not in (names, by_split) and columns[number]]
    if chosen is not None:
        if chosen.casefold().strip().replace(" ", "_") not in folded:
            return Unclear(f"it has no column `{chosen}`; its columns are {quoted(columns, 20)}")
        number = folded.index(chosen.casefold().strip().replace(" ", "_"))
        return columns[number], True, _texts(rows, number)
    for word in LABEL_WORDS:
        if word in folded and folded.index(word) in others:
            return columns[folded.index(word)], True, _texts(rows, folded.index(word))
    telling = [number for number in others if TELLING_WORDS & set(tokens(columns[number]))]
    if len(telling) == 1:
        return columns[telling[0]], True, _texts(rows, telling[0])
    if (one_hot := _one_hot(rows, columns, others)) is not None:
        return "the columns of the classes", True, one_hot
    if len(others) > 1:  # measurements, comments and the like are no labels
        others = [number for number in others if _are_words([row[number] for row in rows])]
    if len(others) != 1:
        return Unclear(f"no column is called `label` or `class`; say `label_column`, one of {quoted(columns, 20)}")
    return columns[others[0]], False, _texts(rows, others[0])


def _are_words(cells: Sequence[str]) -> bool:
    """Whether they are a few texts that come again."""
    return 1 < len(set(cells)) <= max(len(cells) / 5, 2) and not any(cell[:1].isdigit() for cell in cells)


def _texts(rows: Sequence[Sequence[str]], number: int) -> list[str]:
    """Labels as they are written; numbers that a missing value made floats of are whole again."""
    texts = [row[number].strip() for row in rows]
    if all(text == "" or (text.endswith(".0") and text[:-2].isdecimal()) for text in texts):
        return [text.removesuffix(".0") for text in texts]
    return texts


def _one_hot(rows: Sequence[Sequence[str]], columns: Sequence[str], others: Sequence[int]) -> list[str] | None:
    """The column that is 1 in each row, where all others are 0."""
    flags = [number for number in others if {row[number] for row in rows} <= {"0", "1", "0.0", "1.0"}]
    if len(flags) < 2:
        return None
    ones = [[number for number in flags if row[number].startswith("1")] for row in rows]
    if Counter(map(len, ones)).keys() != {1}:
        return None
    return [columns[row[0]].strip() for row in ones]


def _stem(name: str) -> str:
    return name.rpartition("/")[2].rpartition(".")[0]
