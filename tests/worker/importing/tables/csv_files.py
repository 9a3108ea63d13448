"""Tables to be imported, and imports of them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.errors import ImportRefusedError
from tests.worker.importing.imports import Imported, import_path

HEADER = "age,city,income,sex,label"
CITIES = ("Rome", "Oslo", "Lima")


def lines(count: int = 60) -> list[str]:
    rng = np.random.default_rng(1)
    return [
        f"{20 + n},{CITIES[n % 3]},{rng.normal():.4f},{'mf'[n % 2]},{'yes' if rng.random() < 0.5 else 'no'}"
        for n in range(count)
    ]


def imported(folder: Path, text: str | bytes, name: str = "a.csv", **options: Any) -> Imported:
    (folder / name).write_bytes(text.encode() if isinstance(text, str) else text)
    return import_path(folder / name, **options)


def refusal(folder: Path, text: str | bytes, name: str = "a.csv", **options: Any) -> ImportRefusedError:
    with pytest.raises(ImportRefusedError) as caught:
        imported(folder, text, name, **options)
    return caught.value


def table(rows: list[str], header: str = HEADER) -> str:
    return "\n".join([header, *rows]) + "\n"
