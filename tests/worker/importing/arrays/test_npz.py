"""Arrays: shapes, types, ranges and labels that people hand in; nothing is unpickled."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from service.errors import ImportRefusedError
from tests.worker.importing.imports import Imported, import_path
from worker.importing.arrays import npz

RNG = np.random.default_rng(0)
FEATURES = RNG.normal(size=(60, 5))
LABELS = np.arange(60) % 3


def imported(folder: Path, name: str = "a.npz", **arrays: Any) -> Imported:
    np.savez_compressed(folder / name, **arrays)
    return import_path(folder / name)


def refusal(folder: Path, **arrays: Any) -> str:
    with pytest.raises(ImportRefusedError) as caught:
        imported(folder, **arrays)
    return caught.value.reason


def test_features_become_float32_with_their_labels(tmp_path: Path) -> None:
    result = imported(tmp_path, X=FEATURES, y=LABELS)
    assert result.dataset.x.dtype == np.float32
    assert np.allclose(result.dataset.x, FEATURES, atol=1e-6)
    assert result.dataset.y.tolist() == LABELS.tolist()
    assert result.profile.meta.modality == "features"
    assert result.profile.dtype == "float64"
    assert result.profile.value_range == (FEATURES.min(), FEATURES.max())


@pytest.mark.parametrize(
    ("images", "shape"),
    [
        (RNG.integers(0, 256, (60, 9, 8), np.uint8), (9, 8, 1)),
        (RNG.integers(0, 256, (60, 9, 8, 3), np.uint8), (9, 8, 3)),
        (RNG.integers(0, 256, (60, 3, 9, 8), np.uint8), (9, 8, 3)),
        (np.asfortranarray(RNG.integers(0, 256, (60, 9, 8, 1), np.uint8)), (9, 8, 1)),
    ],
)
def test_images_are_packed_channels_last(
    tmp_path: Path, images: NDArray[np.uint8], shape: tuple[int, int, int]
) -> None:
    result = imported(tmp_path, X=images, y=LABELS)
    assert result.dataset.x.shape == (60, *shape)
    ordered = np.moveaxis(images, 1, -1) if images.shape[1:2] == (3,) else images
    assert np.array_equal(np.asarray(result.dataset.x).reshape(ordered.shape), ordered)


@pytest.mark.parametrize(
    ("dtype", "top"), [("float32", 1.0), ("float64", 255.0), ("uint16", 65535), ("int32", 255), ("bool", 1)]
)
def test_images_of_other_types_keep_their_brightness(tmp_path: Path, dtype: str, top: float) -> None:
    unit = RNG.integers(0, 2, (60, 6, 6)) if dtype == "bool" else RNG.uniform(size=(60, 6, 6))
    unit[0, 0, 0] = 1
    result = imported(tmp_path, X=(unit * top).astype(dtype), y=LABELS)
    assert np.abs(result.dataset.x[..., 0] - unit * 255).max() <= 1.0
    assert result.finding("wrong_dtype") is not None
    assert result.finding("odd_range") is None


def test_images_that_look_normalised_already_are_told(tmp_path: Path) -> None:
    result = imported(tmp_path, X=RNG.normal(size=(60, 6, 6, 3)), y=LABELS)
    finding = result.finding("odd_range")
    assert finding is not None
    assert finding.severity == "warning"
    assert (result.dataset.x.min(), result.dataset.x.max()) == (0, 255)


def test_transparent_images_are_laid_on_white(tmp_path: Path) -> None:
    images = np.zeros((60, 4, 4, 4), np.uint8)
    images[:, :2, :, 3] = 255
    images[:, 0, 0, 0] = np.arange(60)
    result = imported(tmp_path, X=images, y=LABELS)
    assert result.dataset.x[9, 0, 0].tolist() == [9, 0, 0]
    assert result.dataset.x[9, 3, 3].tolist() == [255, 255, 255]


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


def test_what_is_not_finite_is_filled_from_train_and_told(tmp_path: Path) -> None:
    holes = FEATURES.copy()
    holes[3, 1], holes[5, 1], holes[7, 4] = np.nan, np.inf, -np.inf
    names = np.array(list("abcde"))
    result = imported(tmp_path, X=holes, y=LABELS, feature_names=names)
    assert np.isfinite(result.dataset.x).all()
    train = [index for index in result.dataset.indices("train") if np.isfinite(holes[index, 1])]
    assert result.dataset.x[3, 1] == pytest.approx(np.median(holes[train, 1]), abs=1e-6)
    finding = result.finding("non_finite")
    assert finding is not None
    assert finding.evidence["values"] == 3
    assert finding.evidence["features"] == ["b", "e"]


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
