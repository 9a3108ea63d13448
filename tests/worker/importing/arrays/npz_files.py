"""Arrays to be imported, and imports of them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.errors import ImportRefusedError
from tests.worker.importing.imports import Imported, import_path

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
