"""Imports of datasets that torchvision knows by name."""

from pathlib import Path
from typing import Any

import pytest

from service.errors import ImportRefusedError
from tests.worker.importing.imports import Imported, run_import


def imported(root: Path, name: str, variant: str | None = None, **fields: Any) -> Imported:
    source = {"kind": "torchvision", "name": name, "variant": variant} | fields
    return run_import(root.parent / "scratch", source, root)


def refusal(root: Path, name: str, **fields: Any) -> ImportRefusedError:
    with pytest.raises(ImportRefusedError) as caught:
        imported(root, name, **fields)
    return caught.value


def outcome(root: Path, name: str) -> str:
    """The code of the refusal, or `read`."""
    try:
        imported(root, name)
    except ImportRefusedError as error:
        return error.reason
    return "read"
