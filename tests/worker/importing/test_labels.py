"""Labels as people write them become class numbers, and what had to be put right is told."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from service.errors import ImportRefusedError
from tests.worker.importing.arrays.npz_files import FEATURES, LABELS, imported
from worker.importing.labels import number_labels, number_texts


def test_labels_that_start_at_one_are_numbered_anew_and_told(tmp_path: Path) -> None:
    result = imported(tmp_path, X=FEATURES, y=LABELS + 1)
    assert sorted(set(result.dataset.y.tolist())) == [0, 1, 2]
    assert result.profile.meta.classes == ["1", "2", "3"]
    finding = result.finding("labels_not_from_zero")
    assert finding is not None
    assert "start at 1" in finding.explanation
    assert imported(tmp_path, "b.npz", X=FEATURES, y=LABELS).finding("labels_not_from_zero") is None


@pytest.mark.parametrize("labels", [LABELS.astype(float), LABELS[:, None], np.eye(3)[LABELS], LABELS == 1])
def test_labels_of_another_type_or_shape_are_put_right(tmp_path: Path, labels: NDArray[Any]) -> None:
    result = imported(tmp_path, X=FEATURES.astype(np.float32), y=labels)
    assert result.dataset.y.dtype == np.int64
    expected = (LABELS == 1).astype(int) if labels.dtype == bool else LABELS
    assert result.dataset.y.tolist() == expected.tolist()
    assert (result.finding("wrong_dtype") is not None) == (labels.dtype == float)


def test_text_labels_are_classes(tmp_path: Path) -> None:
    names = np.array(["Kätzchen", "犬", "pájaro"])
    assert imported(tmp_path, X=FEATURES, y=names[LABELS]).profile.meta.classes == sorted(names)
    coded = imported(tmp_path, "b.npz", X=FEATURES, y=LABELS, target_names=names)
    assert coded.profile.meta.classes == names.tolist()


@pytest.mark.parametrize(
    ("texts", "classes"),
    [
        (("1_1", "11", "1_2"), ["11", "1_1", "1_2"]),
        (("01", "1", "2"), ["01", "1", "2"]),
        (("001", "002", "010"), ["001", "002", "010"]),
        (("1e2", "100", "2e2"), ["100", "1e2", "2e2"]),
        (("1.0", "1.10", "1.1"), ["1.0", "1.1", "1.10"]),
        (("inf", "1", "2"), ["1", "2", "inf"]),
        (("2", "2.0", "10"), ["2", "2.0", "10"]),
        (("a", "A", "b"), ["A", "a", "b"]),
        (("True", "False", "True"), ["False", "True"]),
    ],
)
def test_different_texts_are_different_classes(texts: tuple[str, ...], classes: list[str]) -> None:
    y_N, names, _ = number_texts(texts * 30)
    assert names == classes
    assert [names[number] for number in y_N[:3]] == list(texts)


def test_case_space_and_unicode_form_make_no_second_class() -> None:
    texts = ["Yes"] * 20 + ["yes", "yes ", "YES"] + ["Caf\u00e9"] * 20 + ["Cafe\u0301", "caf\u00e9"]
    y_N, names, notes = number_texts(texts)
    assert names == ["Café", "Yes"]
    assert y_N.tolist() == [1] * 23 + [0] * 22
    finding = next(note for note in notes if note is not None)
    assert finding.name == "label_spellings"
    assert finding.evidence["count"] == 5
    assert "`YES` = `Yes`" in finding.explanation


def test_many_numbers_ask_whether_this_is_a_regression() -> None:
    rng = np.random.default_rng(0)
    for labels in (rng.integers(100, 250, 1000) * 1000, 18 + rng.integers(0, 72, 400), rng.random(400).round(4)):
        with pytest.raises(ImportRefusedError, match="is this a regression") as caught:
            number_texts([str(label) for label in labels.tolist()])
        assert caught.value.reason == "labels-not-classes"
        with pytest.raises(ImportRefusedError, match="is this a regression"):
            number_labels(labels)
    _, classes, notes = number_texts([str(label) for label in (rng.integers(100, 250, 50_000) * 1000).tolist()])
    assert len(classes) == 150
    assert [note.name for note in notes if note is not None] == ["regression", "labels_not_from_zero"]


def test_class_numbers_and_half_stars_are_classes() -> None:
    _, classes, notes = number_labels(np.arange(2000) % 100)
    assert len(classes) == 100
    assert not any(notes)
    stars = [f"{1 + number % 9 / 2}" for number in range(400)]
    assert number_texts(stars)[1] == ["1.0", "1.5", "2.0", "2.5", "3.0", "3.5", "4.0", "4.5", "5.0"]


def test_several_classes_in_one_label_are_refused_with_the_way_out() -> None:
    with pytest.raises(ImportRefusedError, match="several classes at once") as caught:
        number_texts(["red", "big", "old", "big|red", "old|red", "big|old|red"] * 20)
    assert caught.value.reason == "labels-several"
    with pytest.raises(ImportRefusedError, match="several classes at once"):
        number_texts(["['red']", "['big', 'red']", "['big']", "['big', 'old']"] * 20)
    assert number_texts(["animal|cat", "animal|dog"] * 20)[1] == ["animal|cat", "animal|dog"]


@pytest.mark.parametrize("kind", ["multi-hot", "soft"])
def test_rows_of_labels_that_are_not_one_hot_are_refused_with_the_way_out(tmp_path: Path, kind: str) -> None:
    hot = np.eye(3)[LABELS]
    labels = np.maximum(hot, np.roll(hot, 1, axis=1)) if kind == "multi-hot" else 0.9 * hot + 0.025
    with pytest.raises(ImportRefusedError, match="multi-label" if kind == "multi-hot" else "soft labels") as caught:
        imported(tmp_path, X=FEATURES, y=labels)
    assert caught.value.reason == "labels-shape"
