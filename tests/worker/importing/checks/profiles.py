"""Imports whose findings are looked at."""

from pathlib import Path
from typing import Any

import numpy as np

from tests.worker.importing.imports import Imported, import_path

SEVERE = ("warning", "critical")


def severe(imported: Imported) -> set[str]:
    return {finding.name for finding in imported.profile.findings if finding.severity in SEVERE}


def arrays(folder: Path, x: Any, y: Any, **more: Any) -> Imported:
    folder.mkdir(exist_ok=True)
    np.savez(folder / "a.npz", X=x, y=y, **more)
    return import_path(folder / "a.npz")


def evidence(imported: Imported, name: str) -> dict[str, Any]:
    finding = imported.finding(name)
    assert finding is not None, imported.profile.findings
    assert finding.remedy.text
    return dict(finding.evidence)
