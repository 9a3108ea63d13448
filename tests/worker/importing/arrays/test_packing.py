"""Arrays become packed rows: features as float32, images as bytes that keep their brightness."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.worker.importing.arrays.npz_files import FEATURES, LABELS, RNG, imported


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
    assert (result.finding("odd_range") is not None) == (dtype == "uint16")


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
