"""JSON Lines and JSON files of records -> CSV."""

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from service.errors import ImportRefusedError
from worker.importing.names import printable
from worker.importing.raw_data import Input
from worker.importing.tables.text_file import open_text

SUFFIXES = (
    ".jsonl",
    ".ndjson",
    ".jsonlines",
    ".json",
    ".json.gz",
    ".jsonl.gz",
    ".ndjson.gz",
    ".jsonl.bz2",
    ".jsonl.xz",
)
MAX_WHOLE_CHARACTERS = 2**27
"""Of a JSON file that is no JSON Lines: it is held in memory."""
FAULTS = (ValueError, RecursionError, EOFError, OSError)
NO_OBJECT = "(not a JSON object)"


def is_json(file: Input) -> bool:
    """By its name, or because it begins as objects do."""
    return file.name.lower().endswith(SUFFIXES) or file.head().lstrip(b"\xef\xbb\xbf \r\n\t").startswith(
        (b'{"', b'[{"')
    )


def convert_json(path: Path, target: Path) -> list[str]:
    """Writes the records as CSV, one a line; objects within them become columns `outer.inner`."""
    try:
        names: dict[str, None] = {}
        for record in _records(path):
            names |= dict.fromkeys(record or ())
        if not names:
            raise ImportRefusedError("csv-empty", "the file holds no JSON objects, one a line or in one list")
        with target.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
            writer = csv.writer(file)
            writer.writerow([*names])
            for record in _records(path):
                writer.writerow([NO_OBJECT] if record is None else [_text(record.get(name)) for name in names])
    except FAULTS as error:
        raise ImportRefusedError("json-malformed", f"not JSON of records: {printable(str(error))[:300]}") from error
    return []


def _records(path: Path) -> Iterator[dict[str, Any] | None]:
    """The records, None for a line that is none."""
    text = open_text(path)
    lines = [line for line in islice(text.lines(), 2) if line.strip()]
    first = _parsed(lines[0]) if lines else None
    if isinstance(first, dict) and (len(lines) > 1 or not _is_whole(first)):
        for line in text.lines():
            if line.strip():
                value = _parsed(line)
                yield _flat(value) if isinstance(value, dict) else None
        return
    for value in _rows_of(_whole(text.lines())):
        yield _flat(value) if isinstance(value, dict) else None


def _parsed(line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None


def _whole(lines: Iterable[str]) -> Any:
    parts, characters = [], 0
    for line in lines:
        parts.append(line)
        characters += len(line)
        if characters > MAX_WHOLE_CHARACTERS:
            raise ImportRefusedError(
                "csv-too-large", "the JSON file is too large to be read as a whole; use JSON Lines"
            )
    return json.loads("".join(parts))


def _is_whole(content: Mapping[str, Any]) -> bool:
    """Whether one object holds a whole table: columns of lists or of objects."""
    return bool(content) and (
        all(isinstance(value, list | dict) for value in content.values()) or isinstance(content.get("data"), list)
    )


def _rows_of(content: Any) -> Iterable[Any]:
    """Records of a list, of `{"data": [...]}`, or of pandas' columns, split and index forms."""
    if isinstance(content, list):
        return content
    if isinstance(content, dict) and {"columns", "data"} <= content.keys():
        return [dict(zip(content["columns"], row, strict=False)) for row in content["data"]]
    if isinstance(content, dict) and {"images", "annotations"} <= content.keys():
        raise ValueError("it is a COCO export of boxes or masks; export one class for each picture, in folders")
    if isinstance(content, dict) and content:
        values = list(content.values())
        lists = [value for value in values if isinstance(value, list) and value and isinstance(value[0], dict)]
        if len(lists) == 1:
            return lists[0]
        if all(isinstance(value, list) for value in values) and len({len(value) for value in values}) == 1:
            return [dict(zip(content, row, strict=True)) for row in zip(*values, strict=True)]
        if all(isinstance(value, dict) for value in values):
            return _by_index(content)
    raise ValueError("it is no list of objects, and no lines of objects")


def _by_index(content: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Of `{"a": {"0": 1, "1": 2}, ...}`: by rows where these are fewer keys than columns have, else by columns."""
    inner = list(dict.fromkeys(key for value in content.values() for key in value))
    if len(inner) >= len(content):
        return [{name: column.get(key) for name, column in content.items()} for key in inner]
    return [dict(value) for value in content.values()]


def _flat(record: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in record.items():
        flat |= _flat(value, f"{before}{name}.") if isinstance(value, dict) else {f"{before}{name}": value}
    return flat


def _text(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(_text(part) for part in value)
    return "" if value is None else " ".join(str(value).split())
