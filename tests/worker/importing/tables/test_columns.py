"""Columns: the share decides what a column is, and the odd cells are told."""

from pathlib import Path

import numpy as np
import pytest

from tests.worker.importing.tables.csv_files import imported, refusal


def column(cells: list[str], separator: str = ",") -> str:
    """A table of one column of these cells, quoted, and a label."""
    rows = [f'"{cell}"{separator}{"ab"[at % 2]}' for at, cell in enumerate(cells)]
    return "\n".join([f"v{separator}label", *rows])


@pytest.mark.parametrize("odd", ["#N/A", "<NA>", "#DIV/0!", "-", "N.A.", "missing", "NaT", "\\N", "n/a", "--"])
@pytest.mark.parametrize("step", [1, 0.0625])
def test_a_word_for_missing_does_not_turn_numbers_into_text(tmp_path: Path, odd: str, step: float) -> None:
    cells = [str(at % 160 * step) for at in range(300)]
    cells[7] = odd
    result = imported(tmp_path, column(cells))
    assert result.profile.meta.feature_names == ["v"]
    assert result.dataset.x[8, 0] == 8 * step
    missing = result.finding("non_finite")
    assert missing is not None
    assert missing.evidence["values"] == 1
    assert result.finding("odd_cells") is None


def test_a_cell_that_is_no_number_is_listed(tmp_path: Path) -> None:
    cells = [str(at / 4) for at in range(100)]
    cells[3] = "error 7"
    result = imported(tmp_path, column(cells))
    finding = result.finding("odd_cells")
    assert result.profile.meta.feature_names == ["v"]
    assert finding is not None
    assert finding.evidence["examples"] == ["v: `error 7` (1)"]


def test_common_words_among_numbers_make_categories_and_are_told(tmp_path: Path) -> None:
    result = imported(tmp_path, column([("1", "2", "3", "5+")[at % 4] for at in range(80)]))
    assert result.profile.meta.categories == {"v": ["1", "2", "3", "5+"]}
    finding = result.finding("odd_cells")
    assert finding is not None
    assert "75% numbers" in finding.explanation
    assert "`5+`" in finding.explanation


@pytest.mark.parametrize(
    ("form", "values"),
    [
        ("{:,.2f}", [1000.5, 2001.25]),
        ("{:.1f}%", [10.5, 99.0]),
        ("${:,.2f}", [1000.5, 12.25]),
        ("{:.2f} kg", [1.5, 2.25]),
        ("EUR {:.2f}", [1.5, 2.25]),
    ],
)
def test_thousands_percent_currency_and_units_are_numbers(tmp_path: Path, form: str, values: list[float]) -> None:
    cells = [form.format(values[at % 2] + at // 2) for at in range(200)]
    result = imported(tmp_path, column(cells))
    assert result.dataset.x[:2, 0].tolist() == values
    assert result.finding("odd_cells") is None


def test_suffixes_that_multiply_are_counted_in(tmp_path: Path) -> None:
    cells = [("2.5M", "14k", "300")[at % 3] for at in range(90)]
    assert imported(tmp_path, column(cells)).dataset.x[:3, 0].tolist() == [2.5e6, 14e3, 300.0]


def test_numbers_of_several_units_are_not_compared(tmp_path: Path) -> None:
    cells = [f"{at + 1} {('kg', 'g')[at % 2]}" for at in range(300)]
    assert refusal(tmp_path, column(cells)).reason == "csv-no-features"


@pytest.mark.parametrize("separator", [";", "\t", "|", ","])
def test_decimal_commas_are_numbers_with_every_separator(tmp_path: Path, separator: str) -> None:
    rows = [f'"{at},{at % 10}25"{separator}"{at},5"{separator}{"ab"[at % 2]}' for at in range(60)]
    result = imported(tmp_path, "\n".join([f"a{separator}b{separator}label", *rows]))
    assert result.dataset.x[13].tolist() == pytest.approx([13.325, 13.5])


def test_without_another_column_a_comma_separates_thousands(tmp_path: Path) -> None:
    assert imported(tmp_path, column([f"1,{at + 100}" for at in range(60)])).dataset.x[0, 0] == 1100
    semicolons = imported(tmp_path, column([f"1,{at + 100}" for at in range(60)], ";"), "b.csv")
    assert semicolons.dataset.x[0, 0] == pytest.approx(1.1)


def test_dates_become_days(tmp_path: Path) -> None:
    result = imported(tmp_path, column([f"2024-0{1 + at % 9}-1{at % 7}" for at in range(90)]))
    assert result.profile.meta.feature_names == ["v"]
    assert result.dataset.x[0, 0] == 19732
    form = result.finding("table_form")
    assert form is not None
    assert "dates became days since 1970: v" in form.explanation


@pytest.mark.parametrize("rows", [20, 80])
def test_text_that_never_repeats_is_left_out_of_small_tables_too(tmp_path: Path, rows: int) -> None:
    text = "name,height,label\n" + "\n".join(f"Person {at},{150 + at % 7},{'fm'[at % 2]}" for at in range(rows))
    result = imported(tmp_path, text)
    assert result.profile.meta.feature_names == ["height"]
    finding = result.finding("text_left_out")
    assert finding is not None
    assert finding.evidence["columns"] == ["name"]


def test_codes_with_underscores_are_no_numbers(tmp_path: Path) -> None:
    result = imported(tmp_path, column([("1_0", "10", "2_0")[at % 3] for at in range(90)]))
    assert result.profile.meta.categories == {"v": ["10", "1_0", "2_0"]}


@pytest.mark.parametrize("name", ["id", "PassengerId", "Unnamed: 0"])
def test_a_column_that_numbers_the_rows_is_no_feature(tmp_path: Path, name: str) -> None:
    text = f"{name},b,label\n" + "\n".join(f"{at},{at % 9},{'xy'[at // 50]}" for at in range(100))
    result = imported(tmp_path, text)
    assert result.profile.meta.feature_names == ["b"]
    assert result.profile.ignored == [{"file": f"column `{name}`", "reason": "tells rows apart"}]
    assert result.finding("table_form") is not None


def test_names_of_pictures_are_refused_with_the_way_out(tmp_path: Path) -> None:
    text = "filename,label\n" + "\n".join(f"img_{at:04d}.jpg,{('cat', 'dog')[at % 2]}" for at in range(60))
    error = refusal(tmp_path, text)
    assert error.reason == "csv-no-features"
    assert "`filename` holds names of pictures" in error.detail
    assert "upload the pictures" in error.detail


def test_boxes_in_pictures_are_no_features(tmp_path: Path) -> None:
    rows = [f"{at}.jpg,{at},{at % 7},{at + 9},{at % 7 + 5},{'xy'[at % 2]}" for at in range(60)]
    error = refusal(tmp_path, "\n".join(["filename,xmin,ymin,xmax,ymax,class", *rows]))
    assert error.reason == "csv-no-features"
    assert "`filename` holds names of pictures" in error.detail


def test_a_cell_of_several_numbers_becomes_as_many_features(tmp_path: Path) -> None:
    result = imported(tmp_path, column([f"[{at}, 0.5, 2, 1e1]" for at in range(60)]))
    assert result.profile.meta.feature_names == ["v.0", "v.1", "v.2", "v.3"]
    np.testing.assert_array_equal(result.dataset.x[3], [3, 0.5, 2, 10])
