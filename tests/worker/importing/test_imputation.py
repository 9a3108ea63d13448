"""Missing values are filled with what the train split says, and told."""

from pathlib import Path

import numpy as np
import pytest

from tests.worker.importing.arrays.npz_files import FEATURES, LABELS, imported


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
