"""Tables of pixels are seen to be pictures, where they are square and in order."""

from pathlib import Path

import numpy as np
import pytest

from tests.worker.importing.tables.csv_files import imported

PIXELS = np.random.default_rng(0).integers(0, 256, (60, 64))


@pytest.mark.parametrize("form", ["pixel{0}", "px_{0}", "{1}x{2}", "pixel_{1}_{2}"])
def test_columns_of_pixels_are_pictures(tmp_path: Path, form: str) -> None:
    names = [form.format(at, at // 8 + 1, at % 8 + 1) for at in range(64)]
    rows = [f"{at % 3}," + ",".join(map(str, row)) for at, row in enumerate(PIXELS)]
    result = imported(tmp_path, "\n".join([",".join(["label", *names]), *rows]))
    assert result.profile.meta.modality == "image"
    assert result.profile.meta.shape == [8, 8, 1]
    assert result.profile.meta.feature_names == []
    np.testing.assert_array_equal(result.dataset.x.reshape(60, 64), PIXELS)
    form_finding = result.finding("table_form")
    assert form_finding is not None
    assert "grey picture of 8 x 8" in form_finding.explanation


def test_a_cell_of_pixels_is_a_picture_as_in_fer2013(tmp_path: Path) -> None:
    rows = [
        f"{at % 3},{' '.join(map(str, row))},{('Training', 'PublicTest')[at // 40]}" for at, row in enumerate(PIXELS)
    ]
    result = imported(tmp_path, "\n".join(["emotion,pixels,Usage", *rows]), label_column="emotion")
    np.testing.assert_array_equal(result.dataset.x.reshape(60, 64), PIXELS)
    assert result.profile.meta.counts["val"] == 20


@pytest.mark.parametrize("change", ["a feature beside", "negative", "missing", "not square"])
def test_other_numbers_stay_features(tmp_path: Path, change: str) -> None:
    pixels = PIXELS.astype(object)
    names = [f"pixel{at}" for at in range(64)]
    if change == "a feature beside":
        names[7] = "age"
    elif change == "not square":
        names, pixels = names[:60], pixels[:, :60]
    else:
        pixels[5, 5] = -1 if change == "negative" else ""
    rows = [f"{at % 3}," + ",".join(map(str, row)) for at, row in enumerate(pixels)]
    result = imported(tmp_path, "\n".join([",".join(["label", *names]), *rows]))
    assert result.profile.meta.feature_names == names
    assert result.dataset.x.shape == (60, len(names))
