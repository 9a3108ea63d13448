"""Files that hold a table: which format each has, and what makes lines of text of it."""

import csv
import lzma
import re
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from service.errors import ImportRefusedError
from worker.importing.raw_data import Input
from worker.importing.tables.columnar import convert_columnar, is_columnar
from worker.importing.tables.dialect import is_separated
from worker.importing.tables.json_records import convert_json, is_json
from worker.importing.tables.spreadsheet import convert_workbook, is_workbook
from worker.importing.tables.text_file import open_text

SUFFIXES = re.compile(r"\.(?:csv|tsv|txt|tab|data|dat|psv)(?:\.(?:gz|bz2|xz))?$", re.IGNORECASE)
PROBED_LINES = 50
FAULTS = (csv.Error, OSError, UnicodeError, EOFError, ValueError, zlib.error, lzma.LZMAError)
"""What is raised on text that is none."""


@dataclass(frozen=True)
class Lines:
    """A table as lines of text, and what had to be decided to make them."""

    path: Path
    is_converted: bool = False
    first_row: int = 0
    """Number of the line before the first row of data, where rows are counted without the names."""
    is_short: bool = False
    """Whether rows end with their last filled cell."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Format:
    """A format that is no text of lines, how it is recognised, and what writes it as CSV."""

    name: str
    recognises: Callable[[Input], bool]
    convert: Callable[[Path, Path], Sequence[str]]


FORMATS = (
    Format("Excel", is_workbook, convert_workbook),
    Format("Parquet, Arrow", is_columnar, convert_columnar),
    Format("JSON Lines", is_json, convert_json),
)


def is_table(file: Input) -> bool:
    """By its first bytes, by its name, or because its lines are cut into as many cells each."""
    if any(format.recognises(file) for format in FORMATS):
        return True
    if SUFFIXES.search(file.name):
        return not file.head().startswith(b"PK")
    try:
        return is_separated(list(islice(open_text(file.path).lines(), PROBED_LINES)))
    except (ImportRefusedError, *FAULTS):
        return False


def open_lines(file: Input) -> Lines:
    """The lines of a table; those of other formats are written to the scratch folder."""
    format = next((format for format in FORMATS if format.recognises(file)), None)
    if format is None:
        return Lines(file.path)
    folder = file.context.scratch / "tables"
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{len(list(folder.iterdir()))}.csv"
    notes = tuple(format.convert(file.path, target))
    is_sheet = format.convert is convert_workbook
    return Lines(target, is_converted=True, first_row=int(not is_sheet), is_short=is_sheet, notes=notes)
