"""Pictures of more than 8 bits: one scale for all of a dataset, by the range of their numbers."""

import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from service.pictures.png_rows import HEADER
from tests.service.pictures.drawings import encoded, picture, png
from tests.worker.importing.imports import Imported, import_path, write_folder

RNG = np.random.default_rng(0)
KINDS = {"PNG": np.uint16, "TIFF": np.float32}


def deep(folder: Path, low: float, high: float, kind: str = "PNG", *more: Image.Image) -> Imported:
    """An import of sixteen noisy pictures whose numbers lie in a range, and of others."""
    arrays = [low + RNG.random((20, 20)) * (high - low) for _ in range(16)]
    images = [*(Image.fromarray(array.astype(KINDS[kind])) for array in arrays), *more]
    files = {f"{'ab'[n % 2]}/{n:02d}.{kind.lower()}": encoded(image, kind) for n, image in enumerate(images)}
    return import_path(write_folder(folder / "tree", files))


@pytest.mark.parametrize(
    ("low", "high", "kind"),
    [(0, 1023, "PNG"), (0, 4095, "PNG"), (0, 255, "PNG"), (30_000, 34_000, "PNG"), (0, 65535, "PNG"),
     (0, 1.04, "TIFF"), (-1, 1, "TIFF"), (0, 0.05, "TIFF")],
)  # fmt: skip
def test_grey_levels_of_any_depth_are_kept(tmp_path: Path, low: float, high: float, kind: str) -> None:
    result = deep(tmp_path, low, high, kind)
    assert len(np.unique(result.dataset.x)) > 240
    assert result.finding("grey_levels") is None
    told = result.finding("odd_range")
    assert (told is None) == ((low, high) == (0, 255))


def test_all_pictures_have_one_scale(tmp_path: Path) -> None:
    dark = Image.fromarray(np.full((20, 20), 2000, np.uint16))
    result = deep(tmp_path, 0, 4000, "PNG", dark)
    assert abs(int(result.dataset.x[8].min()) - 127) <= 1, "the seventeenth comes ninth, behind the others of class a"
    assert np.ptp(result.dataset.x[8]) == 0


def test_a_single_bright_picture_that_takes_the_levels_is_told(tmp_path: Path) -> None:
    bright = Image.fromarray(np.full((20, 20), 65535, np.uint16))
    finding = deep(tmp_path, 0, 1023, "PNG", bright).finding("grey_levels")
    assert finding is not None
    assert finding.severity == "warning"
    assert finding.evidence["levels"] == 6


def test_pictures_of_eight_bits_beside_deep_ones_stay_as_they_are(tmp_path: Path) -> None:
    plain = picture(1, (20, 20), "L")
    result = deep(tmp_path, 0, 4095, "PNG", plain)
    assert np.array_equal(np.asarray(result.dataset.x[8][..., 0]), np.asarray(plain))


@pytest.mark.parametrize(("top", "is_told"), [(4095, True), (65535, False)])
def test_colours_of_sixteen_bits_of_which_the_upper_are_empty_are_told(tmp_path: Path, top: int, is_told: bool) -> None:
    def colours() -> bytes:
        rows = RNG.integers(0, top, (20, 60)).astype(">u2")
        return png(HEADER.pack(20, 20, 16, 2, 0, 0, 0), zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows)))

    result = import_path(write_folder(tmp_path / "tree", {f"{'ab'[n % 2]}/{n:02d}.png": colours() for n in range(12)}))
    finding = result.finding("grey_levels")
    assert (finding is not None) == is_told
    assert finding is None or finding.evidence["levels"] == 16
    assert result.finding("deep") is not None
