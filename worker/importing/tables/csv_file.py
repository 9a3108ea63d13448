"""A CSV file as it is to be read: its encoding, separator, columns, and the label's column."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from service.errors import ImportRefusedError
from worker.importing.names import printable
from worker.importing.tables.cells import PICTURE_NAME, is_missing, number
from worker.importing.tables.columns import Column
from worker.importing.tables.dialect import Dialect, sniff
from worker.importing.tables.header import LABELS, Header, find_header, fold
from worker.importing.tables.text_file import TextFile, open_text

MAX_COLUMNS = 20_000
SHOWN_COLUMNS = 50


@dataclass
class Table:
    """A file of rows, its columns, and which of them are the label and the split."""

    text: TextFile
    dialect: Dialect
    header: Header
    columns: list[Column]
    label: int
    notes: list[str] = field(default_factory=list)
    """What had to be decided to read it."""
    not_labels: frozenset[str] = frozenset()
    """Words in the label's column that stand for no label, in small letters."""

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Line numbers and stripped cells, without what is above the first row of data, and names that come again."""
        names = None
        for place, (line, cells) in enumerate(self.dialect.records(self.text.lines())):
            if place < self.header.skip:
                names = cells
            elif cells != names:
                yield line, self._fitted(cells)

    def _fitted(self, cells: list[str]) -> list[str]:
        """Without the empty cells of trailing separators."""
        while len(cells) > len(self.columns) and not cells[-1]:
            cells.pop()
        return cells

    def fault(self, cells: list[str]) -> str | None:
        """Why a row cannot be used."""
        if len(cells) != len(self.columns):
            return f"{len(cells)} cells, the header has {len(self.columns)}"
        label = cells[self.label]
        if label == "":
            return "no label"
        if label.casefold() in self.not_labels:
            return f"no label: `{printable(label)}` is too rare to be a class and is taken for a missing one"
        return "its label holds bytes that are no text" if any("\udc80" <= c <= "\udcff" for c in label) else None


def open_table(path: Path, label_column: str | None) -> Table:
    """Finds encoding, separator and header."""
    text = open_text(path)
    dialect, sample, is_whole = sniff(text.lines())
    records = [cells for _, cells in dialect.records(sample)]
    if not is_whole and len(records) > 1:
        records.pop()  # it may be cut
    if not records:
        raise ImportRefusedError("csv-empty", "the table has no lines")
    header = find_header(records, label_column)
    if len(header.names) > MAX_COLUMNS:
        raise ImportRefusedError("csv-too-wide", f"{len(header.names):,} columns; at most {MAX_COLUMNS:,}")
    label = _label(header, records, label_column)
    notes = [*([text.note] if text.note else []), *header.notes]
    return Table(text, dialect, header, [Column(name) for name in header.names], label, notes)


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
    raise ImportRefusedError(
        "csv-no-label", f"no column is called {tried}; set the option `label_column` to one of: {listed}"
    )


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
