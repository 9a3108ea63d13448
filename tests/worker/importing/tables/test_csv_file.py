"""CSV files as spreadsheets and programs write them: encodings, separators, lines, the label's column."""

import gzip
from pathlib import Path

import pytest

from tests.worker.importing.tables.csv_files import imported, lines, refusal, table


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_other_separators_are_found(tmp_path: Path, delimiter: str) -> None:
    expected = imported(tmp_path, table(lines()))
    other = imported(tmp_path, table(lines()).replace(",", delimiter), "b.csv")
    assert other.hash == expected.hash


def test_decimal_commas_are_read_where_semicolons_separate(tmp_path: Path) -> None:
    text = table(lines()).replace(",", ";").replace(".", ",")
    assert imported(tmp_path, text, "b.csv").hash == imported(tmp_path, table(lines())).hash


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_encodings_are_found(tmp_path: Path, encoding: str) -> None:
    text = table([line.replace("yes", "größer") for line in lines()])
    assert imported(tmp_path, text.encode(encoding)).profile.meta.classes == ["größer", "no"]


def test_gzipped_and_windows_tables_read_the_same(tmp_path: Path) -> None:
    plain = imported(tmp_path, table(lines()))
    assert imported(tmp_path, gzip.compress(table(lines()).encode()), "b.csv.gz").hash == plain.hash
    assert imported(tmp_path, table(lines()).replace("\n", "\r\n"), "c.csv").hash == plain.hash
    assert imported(tmp_path, "\n" + table(lines()).replace("\n", "\n\n"), "d.csv").hash == plain.hash


def test_quoted_cells_may_hold_separators_and_lines(tmp_path: Path) -> None:
    rows = [line.replace("Rome", '"Rome, ""old""\ntown"') for line in lines()]
    assert imported(tmp_path, table(rows)).profile.meta.categories["city"] == ["Lima", "Oslo", 'Rome, "old"\\ntown']


def test_the_label_column_can_be_named(tmp_path: Path) -> None:
    assert imported(tmp_path, table(lines()), label_column="city").profile.meta.classes == ["Lima", "Oslo", "Rome"]
    assert imported(tmp_path, table(lines()).replace("label", "Target"), "b.csv").profile.meta.classes == ["no", "yes"]


def test_a_refusal_for_want_of_a_label_lists_the_columns(tmp_path: Path) -> None:
    assert "age, city, income, sex" in refusal(tmp_path, table(lines()).replace("label", "outcome")).detail
