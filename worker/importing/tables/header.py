"""Where a table's names of columns are: below titles, in one line or several, above units, or nowhere."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from worker.importing.names import distinct, printable
from worker.importing.tables.cells import day, is_missing, number

LABELS = ("label", "target", "class", "y", "labels", "targets", "class label", "target class", "class name",
          "label name")  # fmt: skip
MAX_HEADER = 30
"""Records among which the header is looked for."""
NUMBERS = 0.8
ROW_NAMES = "row names"
Row = Sequence[str]


@dataclass
class Header:
    """The columns' names, and how many records come before the first row of data."""

    names: list[str]
    skip: int
    has_names: bool = True
    notes: list[str] = field(default_factory=list)


def find_header(records: Sequence[Row], label_column: str | None) -> Header:
    """By what the columns hold further down: a row that has text where they have numbers is no data."""
    width = _width(records)
    rows = [_cut(row, width) for row in records]
    labels = [fold(label_column)] if label_column is not None else LABELS
    places = ((name, at) for name in labels for at in range(min(len(rows), MAX_HEADER)))
    named = next((at for name, at in places if _names_label(rows, at, name)), None)
    first = _first_data(rows, width)
    if named is not None and named >= first:
        first = named + 1
    block = [row for row in rows[:first] if len(row) >= width - 1 and not _is_title(row, width)]
    if not block:
        return Header([f"column {number}" for number in range(1, width + 1)], first, has_names=False)
    full = [row for row in block if _is_full(row, width)]
    is_named = named is not None and rows[named] in full
    chosen = rows[named] if is_named and named is not None else next(iter(full), None)
    header = Header(_named(_joined(block) if chosen is None else chosen, rows, first, width), first)
    others = [row for row in rows[:first] if row is not chosen and any(row)] if chosen is not None else []
    if others:
        shown = "; ".join(printable(", ".join(cell for cell in row if cell))[:60] for row in others[:5])
        header.notes.append(f"lines beside the columns' names were left out: {shown}")
    return header


def fold(name: str) -> str:
    """A name without case, and with single spaces for what separates its words."""
    return re.sub(r"[\s_.-]+", " ", name).strip().casefold()


def _width(records: Sequence[Row]) -> int:
    """Cells of most rows, without last columns that no row fills."""
    if not records:
        return 0
    width, _ = Counter(len(row) for row in records).most_common(1)[0]
    while width > 1 and not any(row[width - 1] for row in records if len(row) >= width):
        width -= 1
    return width


def _cut(row: Row, width: int) -> Row:
    """The row without empty cells beyond the width."""
    end = len(row)
    while end > width and not row[end - 1]:
        end -= 1
    return row[:end]


def _names_label(rows: Sequence[Row], at: int, label: str) -> bool:
    """Whether a row holds the label's name once, in a column that does not hold it again."""
    places = [place for place, cell in enumerate(rows[at]) if fold(cell) == label]
    if len(places) != 1:
        return False
    name = rows[at][places[0]]
    return not any(len(row) > places[0] and row[places[0]] == name and row != rows[at] for row in rows[at + 1 :])


def _is_number(cell: str) -> bool:
    return any(number(cell, decimal) is not None for decimal in ".,") or day(cell) is not None


def _first_data(rows: Sequence[Row], width: int) -> int:
    """The first row that holds numbers where the rows below do."""
    body = [row for row in rows[len(rows) // 2 :] if len(row) == width]
    numeric = [place for place in range(width) if _is_numeric([row[place] for row in body])]
    if not numeric:
        return _first_of_texts(rows, width)
    if rows and _counts_up(rows[0]):
        return 1
    for at, row in enumerate(rows[:MAX_HEADER]):
        shift = width - len(row)
        cells = [row[place - shift] for place in numeric if 0 <= place - shift < len(row)] if 0 <= shift <= 1 else []
        numbers = sum(_is_number(cell) for cell in cells)
        texts = sum(not is_missing(cell) for cell in cells) - numbers
        is_data = numbers > 0 and numbers >= texts
        if len(row) >= width and (is_data or (at > 0 and _comes_again(row, numeric, rows[at + 1 :]))):
            return at
    return min(1, len(rows))


def _comes_again(row: Row, numeric: Sequence[int], below: Sequence[Row]) -> bool:
    """Whether the texts of a row beside its numbers all come again below, as a label does and no unit."""
    texts = [place for place, cell in enumerate(row) if cell and place not in numeric]
    return bool(texts) and all(
        any(row[place] == other[place] for other in below if len(other) > place) for place in texts
    )


def _is_numeric(cells: Sequence[str]) -> bool:
    known = [cell for cell in cells if not is_missing(cell)]
    return bool(known) and sum(_is_number(cell) for cell in known) >= NUMBERS * len(known)


def _first_of_texts(rows: Sequence[Row], width: int) -> int:
    """Of columns of text: the first full row, unless its cells come again below, as data do."""
    for at, row in enumerate(rows[:MAX_HEADER]):
        if _is_title(row, width) or len(row) < width - 1:
            continue
        below = [{other[place] for other in rows[at + 1 :] if len(other) > place} for place in range(len(row))]
        again = sum(cell in cells for cell, cells in zip(row, below, strict=True))
        return at if 2 * again >= len(row) else at + 1
    return min(1, len(rows))


def _counts_up(row: Row) -> bool:
    """Names that pandas gives: 0, 1, 2, ..."""
    cells = list(row[1:] if row and row[0] == "" else row)
    return len(cells) > 1 and cells == [str(number) for number in range(len(cells))]


def _is_title(row: Row, width: int) -> bool:
    filled = sum(bool(cell) for cell in row)
    return filled <= 1 and (width > 2 or len(row) < width)


def _is_full(row: Row, width: int) -> bool:
    """Whether every column has a name of its own; the first may have none."""
    names = [cell for cell in row if cell]
    return len(names) >= width - 1 and len(set(names)) == len(names)


def _joined(block: Sequence[Row]) -> list[str]:
    """Names of several lines: groups above, whose name stands once for several columns."""
    lines = []
    for at, row in enumerate(block):
        cells = list(row)
        for place in range(1, len(cells)):
            if not cells[place] and at < len(block) - 1:
                cells[place] = cells[place - 1]
        lines.append(cells)
    return [" ".join(dict.fromkeys(cell for cell in cells if cell)) for cells in zip(*lines, strict=False)]


def _named(row: Row, rows: Sequence[Row], first: int, width: int) -> list[str]:
    """The names, distinct and printable; R writes none for its row names."""
    cells = [printable(" ".join(cell.split())) for cell in row]
    if len(cells) == width - 1 and rows[first:] and all(len(other) != width - 1 for other in rows[first:]):
        cells = [ROW_NAMES, *cells]
    named = (name or f"column {number}" for number, name in enumerate(cells, start=1))
    return distinct(named, "{name}.{number}")
