"""One scale makes bytes of all splits, and keeps the grey levels of any range."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.worker.importing.arrays.npz_files import LABELS, imported

UNIT = np.random.default_rng(0).random((60, 12, 12))


@pytest.mark.parametrize(
    ("images", "levels"),
    [
        (UNIT * 1.03, 250),
        (UNIT * 1.05 - 0.02, 250),
        (UNIT * 2, 250),
        (UNIT * 2 - 1, 250),
        (UNIT / 255, 250),
        (0.3 + UNIT * 0.1, 250),
        (UNIT * 50, 250),
        ((UNIT * 1023).astype(np.uint16), 250),
        ((UNIT * 4095).astype(np.int32), 250),
        ((UNIT * 1600 + 2000).astype(np.uint16), 250),
        ((30_000 + UNIT * 4000).astype(np.uint16), 250),
        ((UNIT * 65535).astype(np.uint16), 250),
        ((UNIT * 255 - 128).astype(np.int8), 250),
        ((UNIT * 17).astype(np.uint8), 17),
        (np.floor(UNIT * 17), 17),
        (UNIT > 0.5, 2),
    ],
)
def test_grey_levels_of_any_range_are_kept(tmp_path: Path, images: NDArray[Any], levels: int) -> None:
    result = imported(tmp_path, X=images, y=LABELS)
    assert len(np.unique(result.dataset.x)) >= levels
    assert result.finding("grey_levels") is None


def test_black_stays_black_where_most_of_the_range_is_used(tmp_path: Path) -> None:
    result = imported(tmp_path, X=(400 + UNIT * 3600).astype(np.uint16), y=LABELS)
    assert int(result.dataset.x.min()) == 26
    finding = result.finding("odd_range")
    assert finding is not None
    assert finding.severity == "info"
    assert finding.evidence["high"] == pytest.approx(4000, abs=2)


def test_all_splits_have_one_scale_and_lost_levels_are_told(tmp_path: Path) -> None:
    arrays: dict[str, Any] = {"X_train": UNIT[:40], "y_train": LABELS[:40]}
    arrays |= {"X_test": (UNIT[40:] * 255).astype(np.uint8), "y_test": LABELS[40:]}
    result = imported(tmp_path, **arrays)
    finding = result.finding("grey_levels")
    assert finding is not None
    assert finding.severity == "warning"
    assert finding.evidence["levels"] == 2
    assert "2 in train (numbers from" in finding.explanation
    assert len(np.unique(result.dataset.x[40:])) > 200


def test_a_single_number_far_from_the_others_is_told(tmp_path: Path) -> None:
    images = UNIT * 1000
    images[3, 3, 3] = 65535
    finding = imported(tmp_path, X=images.astype(np.uint16), y=LABELS).finding("grey_levels")
    assert finding is not None
    assert finding.evidence["levels"] == 6
