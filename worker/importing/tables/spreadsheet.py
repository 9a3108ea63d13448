"""Excel workbooks (.xlsx, .xlsm) -> CSV: the first sheet with half as many rows as the longest, read row by row."""

import csv
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from datetime import date, datetime, time
from pathlib import Path

from service.errors import ImportRefusedError
from worker.importing.archives.listing import weigh
from worker.importing.names import printable
from worker.importing.raw_data import Input

FAULTS = (
    ArithmeticError, AttributeError, EOFError, LookupError, NotImplementedError, OSError, RuntimeError, SyntaxError,
    TypeError, ValueError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip
"""What openpyxl raises on files that are damaged."""
MAX_TEXTS_BYTES = 2**27
"""Of the texts that all sheets share: they are held in memory."""
MAX_EMPTY_ROWS = 1000


def is_workbook(file: Input) -> bool:
    """Whether it is a zip archive with a workbook in it."""
    if not file.head().startswith(b"PK\3\4"):
        return False
    try:
        with zipfile.ZipFile(file.path) as archive:
            return "xl/workbook.xml" in archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError):
        return False


def convert_workbook(path: Path, target: Path) -> list[str]:
    """Writes the rows as CSV; what had to be decided."""
    try:
        _weigh(path)
        return _convert(path, target)
    except FAULTS as error:
        raise ImportRefusedError(
            "workbook-malformed", f"the Excel workbook is damaged: {printable(str(error))}; save it again, or as CSV"
        ) from error


def _weigh(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    weigh(sum(member.file_size for member in members), path.stat().st_size)
    if any(member.file_size > MAX_TEXTS_BYTES for member in members if member.filename == "xl/sharedStrings.xml"):
        raise ImportRefusedError("csv-too-large", "the workbook holds too much text; save the sheet as CSV")


def _convert(path: Path, target: Path) -> list[str]:
    from openpyxl import load_workbook  # a quarter of a second

    with warnings.catch_warnings(), path.open("rb") as file:  # by its name openpyxl would ask for a suffix
        warnings.simplefilter("ignore")  # of styles and extensions that are not read
        book = load_workbook(file, read_only=True, data_only=True)
        try:
            titles = [sheet.title for sheet in book.worksheets if sheet.sheet_state == "visible"]
            rows = {}
            for title in titles:
                book[title].reset_dimensions()
                rows[title] = _write(book[title].iter_rows(values_only=True), target)
            chosen = next(
                (title for title in titles if rows[title] > 1 and 2 * rows[title] >= max(rows.values())), None
            )
            if chosen is not None:
                _write(book[chosen].iter_rows(values_only=True), target)
                named = f"of the sheets {', '.join(titles[:20])} this one was read: {chosen}"
                return [printable(named)] if len(titles) > 1 else []
        finally:
            book.close()
    raise ImportRefusedError("csv-empty", "no sheet of the workbook holds a table")


def _write(rows: Iterator[tuple[object, ...]], target: Path) -> int:
    """How many rows are filled. Excel may keep a million empty ones at the end."""
    filled = empty = 0
    with target.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        writer = csv.writer(file)
        for row in rows:
            cells = [_text(value) for value in row]
            while cells and not cells[-1]:
                cells.pop()
            empty = 0 if cells else empty + 1
            if empty > MAX_EMPTY_ROWS:
                break
            filled += bool(cells)
            writer.writerow(cells)
    return filled


def _text(value: object) -> str:
    if isinstance(value, datetime) and value.time() == time():
        value = value.date()
    if isinstance(value, date):
        return value.isoformat()
    return "" if value is None else " ".join(str(value).split())
