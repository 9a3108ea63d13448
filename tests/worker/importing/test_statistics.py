"""Mean and deviation are those of the train split."""

from pathlib import Path

import numpy as np
import pytest

from tests.worker.importing.checks.profiles import arrays


def test_mean_and_deviation_are_those_of_train_even_for_large_numbers(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = (1e6 + rng.normal(size=(500, 2))).astype(np.float32)
    meta = arrays(tmp_path, x, rng.integers(0, 2, 500))
    train = meta.dataset.x[meta.dataset.indices("train")].astype(np.float64)
    assert meta.profile.meta.mean == pytest.approx(train.mean(0).tolist())
    assert meta.profile.meta.std == pytest.approx(train.std(0).tolist(), rel=1e-6)
