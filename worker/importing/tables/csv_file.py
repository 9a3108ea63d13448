"""CSV files as they come: gzipped or not, in several encodings, with several separators; no line too long to hold."""

import csv
import gzip
import io
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from service.errors import ImportRefusedError
from worker.importing.archives.listing import MAX_BYTES
from worker.importing.names import distinct, printable
from worker.importing.tables.columns import Column, is_missing, number

LABELS = ("label", "target", "class", "y")
MAX_COLUMNS = 20_000
MAX_LINE = 2**24
MAX_FIELD = 2**17
DELIMITERS = ",;\t|"
GZIP = b"\x1f\x8b"


@dataclass
class Table:
    """A CSV file as it is to be read."""

    path: Path
    delimiter: str
    encoding: str
    columns: list[Column]
    label: int
    split: int | None

    @property
    def decimal(self) -> str:
        """Where semicolons separate cells, commas separate decimals."""
        return "," if self.delimiter == ";" else "."

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Line numbers and cells, the header left out; empty lines too."""
        reader = csv.reader(lines(self.path, self.encoding), delimiter=self.delimiter)
        is_header = True
        for row in reader:
            if any(cell.strip() for cell in row):
                if not is_header:
                    yield reader.line_num, row
                is_header = False

    def fault(self, row: list[str]) -> str | None:
        """Why a row cannot be used."""
        if len(row) != len(self.columns):
            return f"{len(row)} cells, the header has {len(self.columns)}"
        return "no label" if is_missing(row[self.label].strip()) else None


def open_table(path: Path, label_column: str | None) -> Table:
    """Finds encoding, separator and header."""
    csv.field_size_limit(MAX_FIELD)
    encoding = _encoding(path)
    first = next((line for line in lines(path, encoding) if line.strip()), "")
    delimiter = max(DELIMITERS, key=first.count)
    header = [printable(name.strip()) for name in next(csv.reader([first], delimiter=delimiter), [])]
    if not header:
        raise ImportRefusedError("csv-empty", "the table has no lines")
    if len(header) > MAX_COLUMNS:
        raise ImportRefusedError("csv-too-wide", f"{len(header):,} columns; at most {MAX_COLUMNS:,}")
    if all(number(name, ".") is not None for name in header):
        raise ImportRefusedError("csv-no-header", "the first line holds numbers; the columns' names are needed")
    named = (name or f"column {number}" for number, name in enumerate(header, start=1))
    names = distinct(named, "{name}.{number}")
    folded = [name.casefold() for name in names]
    split = folded.index("split") if "split" in folded else None
    return Table(path, delimiter, encoding, [Column(name) for name in names], _label(names, label_column), split)


def lines(path: Path, encoding: str) -> Iterator[str]:
    """The lines of the text, unpacked."""
    total = 0
    with ExitStack() as stack:
        raw = stack.enter_context(path.open("rb"))
        is_packed = raw.read(2) == GZIP
        raw.seek(0)
        data = stack.enter_context(gzip.GzipFile(fileobj=raw)) if is_packed else raw
        text = stack.enter_context(io.TextIOWrapper(data, encoding=encoding, newline=""))
        while line := text.readline(MAX_LINE):
            total += len(line)
            if len(line) == MAX_LINE or total > MAX_BYTES:
                raise ImportRefusedError("csv-too-large", "a line, or the whole, is too long for a table")
            yield line


def _encoding(path: Path) -> str:
    """By its mark; else UTF-8 when all of it is, else Windows' western one, which reads anything."""
    with path.open("rb") as file:
        head = file.read(4)
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    try:
        for _ in lines(path, "utf-8-sig"):
            pass
    except UnicodeDecodeError:
        return "latin-1"
    return "utf-8-sig"


def _label(names: list[str], label_column: str | None) -> int:
    folded = [name.casefold() for name in names]
    for name in [label_column] if label_column is not None else LABELS:
        if name in names:
            return names.index(name)
        if name.casefold() in folded:
            return folded.index(name.casefold())
    tried = "label, target, class or y" if label_column is None else f"`{printable(label_column)}`"
    raise ImportRefusedError(
        "csv-no-label", f"no column is called {tried}; set the option `label_column` to one of: {', '.join(names[:50])}"
    )
