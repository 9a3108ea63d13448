"""Tables in other formats than CSV become the same datasets; damaged ones are refused by name."""

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest
from openpyxl import Workbook

from tests.worker.importing.imports import Imported
from tests.worker.importing.tables.csv_files import imported, refusal

Records = list[dict[str, Any]]
ROWS: Records = [
    {"a": at / 4, "n": at * 7 % 11, "city": ("Rome", "Oslo")[at // 2 % 2], "label": "xy"[at % 2]} for at in range(60)
]


def plain(folder: Path) -> Imported:
    lines = [",".join(map(str, row.values())) for row in ROWS]
    return imported(folder, "\n".join(["a,n,city,label", *lines]), "plain.csv")


def sheet(path: Path, *sheets: list[list[Any]]) -> bytes:
    book = Workbook()
    for number, rows in enumerate(sheets):
        page = book.worksheets[0] if number == 0 else book.create_sheet()
        for row in rows:
            page.append(row)
    book.save(path / "book")
    return (path / "book").read_bytes()


def workbook(rows: Records, folder: Path) -> bytes:
    return sheet(folder, [["Trial 7"], [*rows[0]], *([*row.values()] for row in rows)], [["notes"]])


def parquet(rows: Records, folder: Path) -> bytes:
    pyarrow.parquet.write_table(pa.Table.from_pylist(rows), folder / "t")
    return (folder / "t").read_bytes()


def feather(rows: Records, folder: Path) -> bytes:
    pyarrow.feather.write_feather(pa.Table.from_pylist(rows), str(folder / "t"))
    return (folder / "t").read_bytes()


def stream(rows: Records, folder: Path) -> bytes:
    table = pa.Table.from_pylist(rows)
    with pa.OSFile(str(folder / "t"), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table)
    return (folder / "t").read_bytes()


def json_lines(rows: Records, folder: Path) -> bytes:
    return "\n".join(map(json.dumps, rows)).encode()


def json_list(rows: Records, folder: Path) -> bytes:
    return json.dumps(rows, indent=1).encode()


def json_columns(rows: Records, folder: Path) -> bytes:
    return json.dumps({name: {str(at): row[name] for at, row in enumerate(rows)} for name in rows[0]}).encode()


FORMS: dict[str, Callable[[Records, Path], bytes]] = {
    "t.xlsx": workbook, "t.parquet": parquet, "t.feather": feather, "t.arrow": stream, "t.jsonl": json_lines,
    "t.json": json_list, "columns.json": json_columns, "unnamed": parquet,
}  # fmt: skip


@pytest.mark.parametrize("name", FORMS)
def test_the_same_rows_are_the_same_dataset_in_every_format(tmp_path: Path, name: str) -> None:
    result = imported(tmp_path, FORMS[name](ROWS, tmp_path), name)
    assert result.profile.meta.feature_names == ["a", "n", "city=Rome"]
    assert result.hash == plain(tmp_path).hash


@pytest.mark.parametrize("name", ["t.xlsx", "t.parquet", "t.jsonl"])
def test_missing_values_and_labels_are_told_by_their_rows(tmp_path: Path, name: str) -> None:
    rows = [*ROWS[:3], ROWS[3] | {"label": None}, ROWS[4] | {"a": None}, *ROWS[5:]]
    row = {"t.xlsx": "row 6", "t.parquet": "row 4", "t.jsonl": "row 4"}[name]
    data = FORMS[name](rows, tmp_path)
    assert f"{row}: no label" in refusal(tmp_path, data, name).detail
    result = imported(tmp_path, data, f"b{name}", drop_corrupt=True)
    missing = result.finding("non_finite")
    assert missing is not None
    assert missing.evidence["values"] == 1


def test_a_workbook_keeps_dates_and_gaps_and_says_which_sheet_was_read(tmp_path: Path) -> None:
    rows = [[date(2024, 1, 1 + at % 28), None if at == 5 else at, "xy"[at % 2], None] for at in range(40)]
    result = imported(tmp_path, sheet(tmp_path, [["day", "n", "label"], *rows], [["other"]]), "b.xlsx")
    assert result.dataset.x[0].tolist() == [19723, 0]
    form = result.finding("table_form")
    assert form is not None
    assert "of the sheets Sheet, Sheet1 this one was read: Sheet" in form.explanation


def test_a_short_sheet_before_the_table_is_passed_over(tmp_path: Path) -> None:
    rows = [[at, "xy"[at % 2]] for at in range(40)]
    data = sheet(tmp_path, [["About"], ["author", "me"]], [["a", "label"], *rows])
    assert len(imported(tmp_path, data, "b.xlsx").dataset.y) == 40


def test_lists_of_numbers_become_features_and_objects_columns(tmp_path: Path) -> None:
    rows: Records = [{"v": [at, 1.5, 2, 3], "in": {"b": at * 3 % 7}, "label": "xy"[at % 2]} for at in range(40)]
    for name in ("t.jsonl", "t.parquet"):
        flat = [row | {"in": row["in"]["b"]} for row in rows] if name == "t.parquet" else rows
        result = imported(tmp_path, FORMS[name](flat, tmp_path), name)
        assert result.profile.meta.feature_names[:4] == ["v.0", "v.1", "v.2", "v.3"]
        np.testing.assert_array_equal(result.dataset.x[2], [2, 1.5, 2, 3, 6])


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [
        ("t.parquet", b"PAR1" + bytes(100) + b"PAR1", "columnar-malformed"),
        ("t.arrow", b"ARROW1\0\0" + bytes(100), "columnar-malformed"),
        ("t.jsonl", b'{"a": 1}\n{"a": \n', "csv-no-label"),
        ("t.json", b'{"images": 3}', "csv-no-label"),
        ("t.json", b"[1, 2, 3", "json-malformed"),
        ("t.json", b"[" * 100_000, "json-malformed"),
    ],
)
def test_damaged_files_are_refused(tmp_path: Path, name: str, data: bytes, code: str) -> None:
    assert refusal(tmp_path, data, name).reason == code


def test_encoded_pictures_in_parquet_are_refused_with_the_way_out(tmp_path: Path) -> None:
    rows = [{"image": {"bytes": b"\x89PNG", "path": "a.png"}, "label": at % 2} for at in range(40)]
    error = refusal(tmp_path, parquet(rows, tmp_path), "t.parquet")
    assert error.reason == "columnar-nested"
    assert "save the pictures as files" in error.detail


def test_a_workbook_that_is_none_is_refused(tmp_path: Path) -> None:
    data = sheet(tmp_path, [["a"]]).replace(b"<workbook", b"<w0rkbook")
    assert refusal(tmp_path, data, "b.xlsx").reason in ("workbook-malformed", "csv-empty")
