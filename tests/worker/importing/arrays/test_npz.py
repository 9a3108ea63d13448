"""NumPy archives: names and splits are found, what lies is refused, nothing is unpickled."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.errors import ImportRefusedError
from tests.worker.importing.arrays.npz_files import FEATURES, LABELS, imported, refusal
from tests.worker.importing.imports import import_path
from worker.importing.arrays import npz


@pytest.mark.parametrize("names", [("X", "y"), ("x", "y"), ("data", "target"), ("images", "labels")])
def test_usual_names_of_arrays_are_known(tmp_path: Path, names: tuple[str, str]) -> None:
    assert len(imported(tmp_path, "a.npz", **{names[0]: FEATURES, names[1]: LABELS}).dataset.y) == 60


def test_given_splits_are_kept(tmp_path: Path) -> None:
    arrays: dict[str, Any] = {
        "X_train": FEATURES[:40],
        "y_train": LABELS[:40],
        "X_test": FEATURES[40:],
        "y_test": LABELS[40:],
    }
    result = imported(tmp_path, "a.npz", **arrays)
    assert result.dataset.indices("test").tolist() == list(range(40, 60))
    assert result.profile.meta.counts["val"] > 0


class Trap:
    """Unpickled, it would leave a mark."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.mark,)


def test_python_objects_are_never_unpickled(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    assert refusal(tmp_path, X=np.array([Trap(mark)] * 60, dtype=object), y=LABELS) == "npz-pickle"
    assert not mark.exists()


@pytest.mark.parametrize(
    ("code", "arrays"),
    [
        ("npz-arrays", {"a": FEATURES, "b": LABELS}),
        ("npz-arrays", {"X_test": FEATURES, "y_test": LABELS}),
        ("npz-shape", {"X": FEATURES, "y": LABELS[:-1]}),
        ("npz-shape", {"X": np.float64(3), "y": LABELS}),
        ("npz-shape", {"X": np.zeros((60, 2, 2, 2, 2)), "y": LABELS}),
        ("npz-shape", {"X": np.zeros((60, 7, 7, 9)), "y": LABELS}),
        ("no-numbers", {"X": np.zeros((60, 0)), "y": LABELS}),
        ("npz-dtype", {"X": FEATURES.astype(complex), "y": LABELS}),
        ("npz-dtype", {"X": FEATURES.astype(str), "y": LABELS}),
        ("labels-not-classes", {"X": FEATURES, "y": FEATURES[:, 0]}),
        ("labels-not-classes", {"X": FEATURES, "y": np.arange(60)}),
        ("labels-not-classes", {"X": FEATURES, "y": np.full(60, np.nan)}),
        ("labels-shape", {"X": FEATURES, "y": FEATURES[:, :2]}),
        ("labels-shape", {"X_train": FEATURES, "y_train": LABELS, "X_test": FEATURES, "y_test": LABELS.astype(str)}),
        ("not-finite", {"X": np.where(np.eye(4) == 1, np.nan, np.zeros((60, 4, 4))), "y": LABELS}),
        ("no-numbers", {"X": np.full((60, 4), np.nan), "y": LABELS}),
        ("one-class", {"X": FEATURES, "y": np.zeros(60, int)}),
    ],
)
def test_arrays_that_are_no_dataset_are_refused(tmp_path: Path, code: str, arrays: dict[str, Any]) -> None:
    assert refusal(tmp_path, **arrays) == code


@pytest.mark.parametrize("order", ["<", ">"])
def test_texts_that_are_no_unicode_are_refused(tmp_path: Path, order: str) -> None:
    labels = np.full((60, 2), 2**24, f"{order}u4").view(f"{order}U2")
    assert refusal(tmp_path, X=FEATURES, y=labels) == "npz-malformed"
    texts = np.array(["a", "b", "ä"], f"{order}U1")[LABELS]
    assert imported(tmp_path, X=FEATURES, y=texts).profile.meta.classes == ["a", "b", "ä"]


def test_headers_that_lie_are_refused_before_anything_is_read(tmp_path: Path) -> None:
    for shape in ("(60000000000, 5)", "(-1, 5)"):
        head = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}".ljust(117).encode() + b"\n"
        member = b"\x93NUMPY\1\0" + len(head).to_bytes(2, "little") + head + bytes(80)
        path = tmp_path / "a.npz"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("X.npy", member)
            archive.writestr("y.npy", member)
        with pytest.raises(ImportRefusedError) as caught:
            import_path(path)
        assert caught.value.reason == "npz-malformed"


def test_a_bomb_of_zeros_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(npz, "RATIO_FLOOR_BYTES", 2**22)
    assert refusal(tmp_path, X=np.zeros((60, 2**14)), y=LABELS) == "archive-bomb"
