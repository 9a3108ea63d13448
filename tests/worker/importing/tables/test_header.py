"""Headers: titles above, units below, several lines, none at all; the label's column is found."""

from pathlib import Path

import pytest

from tests.worker.importing.tables.csv_files import imported, refusal


def body(separator: str = ",", count: int = 60) -> list[str]:
    return [separator.join([f"{5 + 3 * (at % 2)}.5", f"0.{at:02d}", "ab"[at % 2]]) for at in range(count)]


@pytest.mark.parametrize(
    "text",
    [
        "\n".join(["sep=;", "len;wid;label", *body(";")]),
        "\n".join(["# exported by a tool, v2", "# operator 7", "len,wid,label", *body()]),
        "\n".join(["# len wid label", *body(" ")]),
        "\n".join(["Results of trial 7", "", "len,wid,label", *body()]),
        "\n".join(["Results of trial 7,,", "len,wid,label", *body()]),
        "\n".join(["len,wid,label", "cm,cm,", *body()]),
        "\n".join(["len,wid,label", "cm,cm,-", *body()]),
        "\n".join(["len,wid,label", "continuous,continuous,discrete", ",,class", *body()]),
        "\n".join(["len,wid,label", *(row + "," for row in body())]),
        "\n".join(["len,wid,label,", *(row + "," for row in body())]),
        "\n".join(["len,wid,label", *body(count=30), "len,wid,label", *body()[30:]]),
        "\n".join(['"len","wid","label"', *body()]),
        "\n".join(["X1,X2,Y", "len,wid,label", *body()]),
        "\n".join(["len  wid   label", *(row.replace(" ", "   ") for row in body(" "))]),
        "\r".join(["len,wid,label", *body()]),
        "\n".join(["'len','wid','label'", *(f"{row[:-1]}'{row[-1]}'" for row in body())]),
    ],
)
def test_every_form_of_the_same_table_is_the_same_dataset(tmp_path: Path, text: str) -> None:
    plain = imported(tmp_path, "\n".join(["len,wid,label", *body()]))
    other = imported(tmp_path, text, "b.csv")
    assert other.profile.meta.feature_names == ["len", "wid"]
    assert other.hash == plain.hash


def test_row_names_of_r_are_no_features(tmp_path: Path) -> None:
    rows = [f'"{at + 1}"\t{row}' for at, row in enumerate(body("\t"))]
    result = imported(tmp_path, "\n".join(["len\twid\tlabel", *rows]))
    assert result.profile.meta.feature_names == ["len", "wid"]
    assert result.dataset.x[0].tolist() == [5.5, 0.0]


def test_names_may_hold_lines_and_separators(tmp_path: Path) -> None:
    lines = imported(tmp_path, "\n".join(['"len\n(cm)","wid\n(cm)",label', *body()]))
    assert lines.profile.meta.feature_names == ["len (cm)", "wid (cm)"]
    commas = imported(tmp_path, "\n".join(['"len, cm";"wid, cm";label', *body(";")]), "b.csv")
    assert commas.profile.meta.feature_names == ["len, cm", "wid, cm"]


def test_groups_above_the_names_are_part_of_them(tmp_path: Path) -> None:
    rows = ["sepal,,petal,,label", "len,wid,len,wid,", *(f"{at},1.5,{at}.25,2,{'ab'[at % 2]}" for at in range(40))]
    assert imported(tmp_path, "\n".join(rows)).profile.meta.feature_names == [
        "sepal len", "sepal wid", "petal len", "petal wid",
    ]  # fmt: skip


@pytest.mark.parametrize("header", ["len,wid,label", "len,label"])
def test_an_odd_cell_in_the_first_row_makes_no_header_of_it(tmp_path: Path, header: str) -> None:
    rows = [f"{'error' if at == 0 else at},{'' if 'wid' not in header else '2,'}{'ab'[at % 2]}" for at in range(60)]
    assert len(imported(tmp_path, "\n".join([header, *rows])).dataset.y) == 60


def test_years_may_be_names(tmp_path: Path) -> None:
    rows = ["label,1990,1991", *(f"{'ab'[at % 2]},{at},{at * 2}" for at in range(40))]
    assert imported(tmp_path, "\n".join(rows)).profile.meta.feature_names == ["1990", "1991"]


def test_without_names_the_only_column_of_classes_is_the_label_and_that_is_told(tmp_path: Path) -> None:
    result = imported(tmp_path, "\n".join(body()), "iris.csv")
    assert result.profile.meta.classes == ["a", "b"]
    assert len(result.dataset.y) == 60
    form = result.finding("table_form")
    assert form is not None
    assert "holds data, no names" in form.explanation


def test_without_names_the_label_can_be_told_by_its_number(tmp_path: Path) -> None:
    text = "\n".join(f"{at % 3},{at},{at * 7 % 11}" for at in range(60))
    error = refusal(tmp_path, text)
    assert error.reason == "csv-no-header"
    assert "column 1, column 2, column 3" in error.detail
    result = imported(tmp_path, text, "b.csv", label_column="column 1")
    assert result.profile.meta.classes == ["0", "1", "2"]
    assert len(result.dataset.y) == 60


@pytest.mark.parametrize("name", ["Label", "TARGET", "class_label", "Class Label", " y "])
def test_the_label_is_found_whatever_its_case_and_spaces(tmp_path: Path, name: str) -> None:
    assert imported(tmp_path, "\n".join([f"a,b,{name}", *body()])).profile.meta.classes == ["a", "b"]


@pytest.mark.parametrize("end", ["\x1a", "\0\0\0", "\n\n", "# end of file"])
def test_what_old_programs_write_at_the_end_is_no_row(tmp_path: Path, end: str) -> None:
    assert len(imported(tmp_path, "\n".join(["len,wid,label", *body()]) + "\n" + end).dataset.y) == 60


def test_a_quote_that_is_never_closed_joins_no_rows(tmp_path: Path) -> None:
    rows = [f"{at}.5,{at % 2},{'xy'[at % 2]}" if at != 5 else '5.5,"1,y' for at in range(60)]
    result = imported(tmp_path, "\n".join(["len,wid,label", *rows]))
    assert len(result.dataset.y) == 60
    assert result.dataset.x[5].tolist() == [5.5, 1.0]


@pytest.mark.parametrize("said", ["one-hot", "multi-label"])
def test_a_column_for_each_class_is_refused_with_the_way_out(tmp_path: Path, said: str) -> None:
    flags = [[at % 3 == 0, at % 3 == 1, at % 3 == 2 or (said == "multi-label" and at % 2 == 0)] for at in range(60)]
    rows = [f"{at}.5," + ",".join(str(int(flag)) for flag in row) for at, row in enumerate(flags)]
    error = refusal(tmp_path, "\n".join(["a,is_cat,is_dog,is_cow", *rows]))
    assert error.reason == "csv-no-label"
    assert said in error.detail
