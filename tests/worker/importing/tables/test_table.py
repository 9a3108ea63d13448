"""Tables: numbers stay, text is encoded, what is missing or does not fit is told."""

from pathlib import Path

import numpy as np
import pytest

from tests.worker.importing.tables.csv_files import HEADER, imported, lines, refusal, table


def test_numbers_stay_and_text_is_encoded_and_recorded(tmp_path: Path) -> None:
    result = imported(tmp_path, table(lines()))
    meta = result.profile.meta
    assert meta.feature_names == ["age", "city=Lima", "city=Oslo", "city=Rome", "income", "sex=m"]
    assert meta.categories == {"city": ["Lima", "Oslo", "Rome"], "sex": ["f", "m"]}
    assert meta.classes == ["no", "yes"]
    assert result.dataset.x[1].tolist()[:4] == [21.0, 0.0, 1.0, 0.0]
    assert result.finding("encoded") is not None


def test_empty_cells_are_missing_values_that_are_told(tmp_path: Path) -> None:
    rows = lines()
    for index, missing in ((3, ""), (4, "NA"), (5, "?")):
        _, rest = rows[index].split(",", 1)
        rows[index] = f"{missing},{rest}"
    rows[7] = rows[7].replace("Oslo", "")
    result = imported(tmp_path, table(rows))
    finding = result.finding("non_finite")
    assert finding is not None
    assert finding.evidence["values"] == 3
    assert finding.evidence["features"] == ["age"]
    assert np.isfinite(result.dataset.x).all()
    assert "city=" in result.profile.meta.feature_names
    assert result.dataset.x[7, result.profile.meta.feature_names.index("city=")] == 1


def test_lines_that_do_not_fit_are_named(tmp_path: Path) -> None:
    rows = [*lines(), "1,2", "30,Rome,0.5,m,"]
    error = refusal(tmp_path, table(rows))
    assert error.reason == "corrupt-files"
    assert "line 62: 2 cells, the header has 5" in error.detail
    assert "line 63: no label" in error.detail
    assert len(imported(tmp_path, table(rows), drop_corrupt=True).dataset.y) == 60


def test_text_that_hardly_repeats_is_left_out_and_listed(tmp_path: Path) -> None:
    rows = [f"name {number}{number % 7},{line}" for number, line in enumerate(lines(150))]
    result = imported(tmp_path, table(rows, "name," + HEADER))
    assert "age" in result.profile.meta.feature_names
    assert not any(name.startswith("name") for name in result.profile.meta.feature_names)
    assert [file["file"] for file in result.profile.ignored] == ["column `name`"]
    assert result.finding("text_left_out") is not None


def test_a_split_column_is_kept_as_the_split(tmp_path: Path) -> None:
    rows = [f"{line},{'test' if n >= 50 else 'train'}" for n, line in enumerate(lines())]
    result = imported(tmp_path, table(rows, HEADER + ",split"))
    assert result.dataset.indices("test").tolist() == list(range(50, 60))
    assert "split" not in " ".join(result.profile.meta.feature_names)


def test_number_labels_are_in_the_order_of_their_size(tmp_path: Path) -> None:
    rows = [f"{n * 0.5},{10 ** (n % 3)}" for n in range(60)]
    assert imported(tmp_path, table(rows, "a,y")).profile.meta.classes == ["1", "10", "100"]


def test_labels_that_are_no_classes_are_told_with_their_column(tmp_path: Path) -> None:
    rows = [f"{n},{n / 7},{'ab'[n % 2]}" for n in range(60)]
    detail = refusal(tmp_path, table(rows, "x,y,species")).detail
    assert "is this a regression" in detail
    assert "the column `y`; the option `label_column` names another" in detail
    assert imported(tmp_path, table(rows, "x,y,species"), "b.csv", label_column="species").profile.meta.classes == [
        "a",
        "b",
    ]


def test_spellings_of_one_class_are_told_where_no_other_class_is_left(tmp_path: Path) -> None:
    rows = [f"{n},{('Yes', 'yes', 'YES ')[n % 3]}" for n in range(60)]
    error = refusal(tmp_path, table(rows, "a,label"))
    assert error.reason == "one-class"
    assert "differ from others only in case" in error.detail


@pytest.mark.parametrize("word", ["None", "NA", "null", "?", "nan"])
def test_a_word_for_nothing_is_a_class_when_it_is_as_common_as_one(tmp_path: Path, word: str) -> None:
    labels = [("Insomnia", "Apnea", word, word)[n % 4] for n in range(80)]
    result = imported(tmp_path, table([f"{n},{label}" for n, label in enumerate(labels)], "a,label"))
    assert sorted(result.profile.meta.classes) == sorted({"Apnea", "Insomnia", word})
    form = result.finding("table_form")
    assert form is not None
    assert f"`{word}` (40 rows) is a class of its own" in form.explanation


@pytest.mark.parametrize("labels", [["a", "b"] * 60 + ["NA"] * 2, ["0", "1"] * 60 + ["NaN"] * 40])
def test_a_rare_word_for_nothing_and_one_among_numbers_is_no_label(tmp_path: Path, labels: list[str]) -> None:
    text = table([f"{n},{label}" for n, label in enumerate(labels)], "a,label")
    assert "line 122: no label: `na" in refusal(tmp_path, text).detail.lower()
    assert imported(tmp_path, text, drop_corrupt=True).profile.meta.classes == labels[:2]


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("csv-empty", ""),
        ("csv-empty", "\n\n"),
        ("csv-empty", HEADER + "\n"),
        ("csv-no-header", "1,2,3\n4,5,6\n"),
        ("csv-no-label", "a,b\n1,2\n"),
        ("csv-no-features", "label\n" + "x\ny\n" * 20),
        ("labels-not-classes", "a,y\n" + "".join(f"{n},{n / 7}\n" for n in range(50))),
        ("labels-not-classes", "a,y\n" + "".join(f"{n},text{n}\n" for n in range(50))),
        ("one-class", "a,y\n" + "1,x\n2,x\n" * 20),
        ("csv-malformed", 'a,y\n"' + "x" * 200_000 + '",1\n'),
        ("csv-too-wide", ",".join(f"c{n}" for n in range(20_001)) + ",y\n"),
    ],
)
def test_what_is_no_table_of_classes_is_refused(tmp_path: Path, code: str, text: str) -> None:
    assert refusal(tmp_path, text).reason == code
