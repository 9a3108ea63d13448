"""The profile: sound data get no warning."""

from pathlib import Path

import numpy as np

from tests.worker.importing.checks.profiles import arrays, severe
from tests.worker.importing.imports import import_path, run_import, two_classes, write_folder


def test_sound_data_get_no_warning(tmp_path: Path) -> None:
    assert severe(import_path(write_folder(tmp_path / "tree", two_classes(60)))) == set()
    assert severe(run_import(tmp_path / "digits", {"kind": "builtin", "name": "digits"})) == set()
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 300)
    assert severe(arrays(tmp_path / "npz", rng.normal(size=(300, 4)) + y[:, None], y)) == set()
