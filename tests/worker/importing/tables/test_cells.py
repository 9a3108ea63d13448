"""Cells: numbers as people write them, dates, and what is none."""

import pytest

from worker.importing.tables.cells import day, number, plain_number, several_numbers


@pytest.mark.parametrize(
    ("text", "decimal", "value"),
    [
        ("1,234.50", ".", 1234.5),
        ("1,234", ",", 1.234),
        ("1.234,5", ",", 1234.5),
        ("1 234,5", ",", 1234.5),
        ("1'234.5", ".", 1234.5),
        ("12,34,567", ".", 1234567.0),
        ("$1,200", ".", 1200.0),
        ("-$5", ".", -5.0),
        ("(1,200.50)", ".", -1200.5),
        ("5-", ".", -5.0),
        ("−3.2", ".", -3.2),
        ("5,00 €", ",", 5.0),
        ("Rs. 500", ".", 500.0),
        ("<0.01", ".", 0.01),
        ("3e5", ".", 3e5),
        (".5", ".", 0.5),
    ],
)
def test_numbers_are_read_as_people_write_them(text: str, decimal: str, value: float) -> None:
    parsed = number(text, decimal)
    assert parsed is not None
    assert parsed[0] == value


@pytest.mark.parametrize(("text", "unit"), [("5.2 kg", "kg"), ("5%", "%"), ("100 m2", "m2"), ("7", ""), ("20°C", "°C")])
def test_a_unit_is_told_apart_from_its_number(text: str, unit: str) -> None:
    parsed = number(text, ".")
    assert parsed is not None
    assert parsed[1] == unit


@pytest.mark.parametrize("text", ["1_0", "1.2.3", "2024-01-05", "12:30", "img_1.jpg", "18-24", "C85", "", "-", "(5"])
def test_codes_and_words_are_no_numbers(text: str) -> None:
    assert number(text, ".") is None
    assert number(text, ",") is None
    assert plain_number(text) is None


def test_dates_are_days_since_1970() -> None:
    assert day("1970-01-02") == 1.0
    assert day("2.1.1970") == 1.0
    assert day("1970-01-02T12:00:00Z") == 1.5
    assert day("1970-13-02") is None


def test_several_numbers_of_one_cell_are_read() -> None:
    assert several_numbers("70 80 82 255") == [70.0, 80.0, 82.0, 255.0]
    assert several_numbers("[0.1, 0.2, -0.3, 4]") == [0.1, 0.2, -0.3, 4.0]
    assert several_numbers("1 2") is None
