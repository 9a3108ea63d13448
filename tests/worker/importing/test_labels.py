"""Labels as people write them become class numbers, and what had to be put right is told."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.worker.importing.arrays.npz_files import FEATURES, LABELS, imported


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
