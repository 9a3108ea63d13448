"""Tables that may name pictures: CSV, text, JSON, JSON lines, Parquet, Arrow and Excel, as rows of text."""

import csv
import io
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

from worker.importing.archives.listing import Member, first_bytes
from worker.importing.tables.columnar import convert_columnar
from worker.importing.tables.spreadsheet import convert_workbook

MAX_BYTES = 2**27
MAX_FILES = 50
DELIMITERS = ",;\t|"


@dataclass(frozen=True)
class LabelFile:
    """A table as it lies beside the pictures; the first row may be a header."""

    name: str
    rows: list[list[str]]
    has_header: bool = False
    """Whether the first row surely names the columns."""

    @property
    def folder(self) -> str:
        """The folder that it lies in."""
        return self.name.rpartition("/")[0]


def read_label_files(others: Iterable[Member], chosen: str | None = None) -> list[LabelFile]:
    """Every file that is a table; of Kaggle's sample submissions none. `chosen` is the only one that is looked at."""
    members = sorted((member for member in others if _may_be(member.name, chosen)), key=_rank)
    files = (_read(member) for member in members[:MAX_FILES])
    return [file for file in files if file is not None and len(file.rows) > 1]


def _may_be(name: str, chosen: str | None) -> bool:
    if chosen is not None:
        return name == chosen.strip("/") or name.endswith("/" + chosen.strip("/"))
    return PurePosixPath(name).suffix.lower() in PARSERS and "submission" not in name.casefold()


def _rank(member: Member) -> tuple[bool, int]:
    """Files of which there may be one for each picture come last."""
    return PurePosixPath(member.name).suffix.lower() in (".txt", ".json"), member.name.count("/")


def _read(member: Member) -> LabelFile | None:
    """A table's rows; None for what is none."""
    parser = PARSERS.get(PurePosixPath(member.name).suffix.lower(), _separated)
    try:
        rows, has_header = parser(first_bytes(member, MAX_BYTES))
    except Exception:  # noqa: BLE001  (whatever a file beside the pictures holds, it is then no table)
        return None
    return LabelFile(member.name, rows, has_header)


def _text(data: bytes) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def _separated(data: bytes) -> tuple[list[list[str]], bool]:
    text = _text(data)
    first = next((line for line in text.splitlines() if line.strip()), "")
    delimiter = max(DELIMITERS, key=first.count)
    if delimiter not in first:
        return _spaced(text)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
    return [[cell.strip() for cell in row] for row in rows if any(cell.strip() for cell in row)], False


def _spaced(text: str) -> tuple[list[list[str]], bool]:
    """Lines of a path and a label, as `train/cat_1.jpg 0`."""
    return [cells for line in text.splitlines() if len(cells := line.rsplit(None, 1)) == 2], False


def _json_lines(data: bytes) -> tuple[list[list[str]], bool]:
    return _records([json.loads(line) for line in _text(data).splitlines() if line.strip()])


def _json(data: bytes) -> tuple[list[list[str]], bool]:
    content = json.loads(_text(data))
    if isinstance(content, dict) and all(isinstance(value, str | int) for value in content.values()):
        return [[str(name), str(label)] for name, label in content.items()], False
    if isinstance(content, dict) and all(isinstance(value, list) for value in content.values()):
        return [[str(name), label] for label, names in content.items() for name in names], False
    if isinstance(content, dict) and all(isinstance(value, dict) for value in content.values()):
        content = [{"file_name": name} | value for name, value in content.items()]
    return _records(content)


def _converted(convert: Callable[[Path, Path], object]) -> Callable[[bytes], tuple[list[list[str]], bool]]:
    """Reads what has to be written as CSV first."""

    def parse(data: bytes) -> tuple[list[list[str]], bool]:
        with TemporaryDirectory() as folder:
            source, target = Path(folder, "source"), Path(folder, "table.csv")
            source.write_bytes(data)
            convert(source, target)
            return _separated(target.read_bytes())

    return parse


def _records(records: list[dict[str, Any]]) -> tuple[list[list[str]], bool]:
    """Objects as rows below a header; values that are no plain ones are left empty."""
    columns = list(dict.fromkeys(key for record in records for key in record))
    rows = [[_plain(record.get(column)) for column in columns] for record in records]
    return [columns, *rows], True


def _plain(value: object) -> str:
    return str(value).strip() if isinstance(value, str | int | float) else ""


PARSERS: dict[str, Callable[[bytes], tuple[list[list[str]], bool]]] = {
    ".csv": _separated, ".tsv": _separated, ".tab": _separated, ".txt": _separated, ".lst": _separated,
    ".jsonl": _json_lines, ".ndjson": _json_lines, ".json": _json,
    ".parquet": _converted(convert_columnar), ".feather": _converted(convert_columnar),
    ".arrow": _converted(convert_columnar), ".xlsx": _converted(convert_workbook),
}  # fmt: skip
