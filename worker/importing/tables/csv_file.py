"""A table as it is to be read: its files, their encoding and separator, its columns, and the label's column."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from service.errors import ImportRefusedError
from worker.importing.names import printable
from worker.importing.tables.cells import PICTURE_NAME, is_missing, number
from worker.importing.tables.columns import Column
from worker.importing.tables.dialect import Dialect, sniff
from worker.importing.tables.formats import Lines
from worker.importing.tables.header import LABELS, Header, find_header, fold
from worker.importing.tables.text_file import BAD_BYTES, TextFile, open_text

MAX_COLUMNS = 20_000
SHOWN_COLUMNS = 50


@dataclass(frozen=True)
class Part:
    """A file of rows, and the split that all of them belong to, where its name says so."""

    text: TextFile
    dialect: Dialect
    header: Header
    lines: Lines
    title: str = ""
    split: int | None = None

    def rows(self) -> Iterator[tuple[str, list[str]]]:
        """Where each row stands, and its cells; without what is above the data, and names that come again."""
        names, what = None, "row" if self.lines.is_converted else "line"
        for place, (line, cells) in enumerate(self.dialect.records(self.text.lines())):
            if place < self.header.skip:
                names = cells
            elif cells != names:
                yield f"{self.title}{what} {line - self.lines.first_row}", self._fitted(cells)

    def _fitted(self, cells: list[str]) -> list[str]:
        """As wide as the names: without empty cells of trailing separators; workbooks leave out the last empty ones."""
        width = len(self.header.names)
        while len(cells) > width and not cells[-1]:
            cells.pop()
        return cells + [""] * (width - len(cells)) if self.lines.is_short else cells


@dataclass
class Table:
    """Rows of one file or of several, their columns, and which of these is the label."""

    parts: list[Part]
    columns: list[Column]
    label: int
    notes: list[str] = field(default_factory=list)
    """What had to be decided to read it."""
    not_labels: frozenset[str] = frozenset()
    """Words in the label's column that stand for no label, in small letters."""

    @property
    def has_splits(self) -> bool:
        """Whether the files are the splits."""
        return self.parts[0].split is not None

    def rows(self) -> Iterator[tuple[str, list[str], int | None]]:
        """Where each row stands, its cells, and the split of its file."""
        for part in self.parts:
            for where, cells in part.rows():
                yield where, cells, part.split

    def fault(self, cells: list[str]) -> str | None:
        """Why a row cannot be used."""
        if len(cells) != len(self.columns):
            return f"{len(cells)} cells, the header has {len(self.columns)}"
        label = cells[self.label]
        if label == "":
            return "no label"
        if label.casefold() in self.not_labels:
            return f"no label: `{printable(label)}` is too rare to be a class and is taken for a missing one"
        return "its label holds bytes that are no text" if BAD_BYTES.search(label) else None


def open_table(lines: Lines, label_column: str | None) -> Table:
    """Finds encoding, separator and header."""
    text = TextFile(lines.path) if lines.is_converted else open_text(lines.path)
    dialect, sample, is_whole = sniff(text.lines(), "," if lines.is_converted else None)
    records = [cells for _, cells in dialect.records(sample)]
    if not is_whole and len(records) > 1:
        records.pop()  # it may be cut
    if not records:
        raise ImportRefusedError("csv-empty", "the table has no lines")
    header = find_header(records, label_column)
    if len(header.names) > MAX_COLUMNS:
        raise ImportRefusedError("csv-too-wide", f"{len(header.names):,} columns; at most {MAX_COLUMNS:,}")
    label = _label(header, records, label_column)
    notes = [*([text.note] if text.note else []), *lines.notes, *header.notes]
    return Table([Part(text, dialect, header, lines)], [Column(name) for name in header.names], label, notes)


def _label(header: Header, records: Sequence[Sequence[str]], label_column: str | None) -> int:
    names = header.names
    folded = [fold(name) for name in names]
    for name in [label_column] if label_column is not None else LABELS:
        if name in names:
            return names.index(name)
        if fold(name) in folded:
            return folded.index(fold(name))
    listed = ", ".join(names[:SHOWN_COLUMNS])
    if not header.has_names:
        return _label_without_names(header, records, label_column, listed)
    tried = "label, target, class or y" if label_column is None else f"`{printable(label_column)}`"
    hint = _flags(header, records) if label_column is None else ""
    raise ImportRefusedError(
        "csv-no-label", f"no column is called {tried}; set the option `label_column` to one of: {listed}{hint}"
    )


def _flags(header: Header, records: Sequence[Sequence[str]]) -> str:
    """What to do with columns of 0 and 1 at the end, one for each class."""
    rows = [row for row in records[header.skip :] if len(row) == len(header.names)]
    start = len(header.names)
    while start > 0 and rows and {row[start - 1] for row in rows} == {"0", "1"}:
        start -= 1
    names = header.names[start:]
    if len(names) < 2:
        return ""
    shown = ", ".join(names[:SHOWN_COLUMNS])
    if all(row[start:].count("1") == 1 for row in rows):
        return f". One of {shown} is 1 in each row (one-hot): write its name into one column, and call that `label`"
    return f". Where {shown} are labels and several may be 1 (multi-label), import the table once for each of them"


def _label_without_names(
    header: Header, records: Sequence[Sequence[str]], label_column: str | None, listed: str
) -> int:
    """The only column of texts that come again, where it is the first or the last and none was named."""
    first = printable(", ".join(records[min(header.skip, len(records) - 1)])[:80])
    rows = [row for row in records[header.skip :] if len(row) == len(header.names)]
    texts = [place for place in range(len(header.names)) if _are_classes([row[place] for row in rows])]
    if label_column is None and len(texts) == 1 and texts[0] in (0, len(header.names) - 1) and len(header.names) > 1:
        header.notes.append(
            f"the first line (`{first}`) holds data, no names; the columns are called {header.names[0]} to "
            f"{header.names[-1]}, and the label is taken from `{header.names[texts[0]]}`"
        )
        return texts[0]
    raise ImportRefusedError(
        "csv-no-header",
        f"the first line (`{first}`) holds data, no names of columns. Write the names above it, or say where the label "
        f"is: set the option `label_column` to one of: {listed}",
    )


def _are_classes(cells: Sequence[str]) -> bool:
    """Whether these are texts of which each comes several times."""
    known = [cell for cell in cells if not is_missing(cell)]
    if not known or any(number(cell, ".") is not None or PICTURE_NAME.search(cell) for cell in islice(known, 100)):
        return False
    return 5 * len(Counter(known)) <= len(known) and len(set(known)) > 1
