"""The example specs are valid, and the example notebooks run: their code cells, one after the other, as a script."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from service.api.http import yaml_text
from service.specs import JOB_SPEC
from tests.service.cli.service_process import ServiceProcess

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples"
NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))


@pytest.mark.parametrize("path", sorted({*EXAMPLES.iterdir()} - {*NOTEBOOKS}), ids=lambda path: path.name)
def test_spec_is_valid(path: Path) -> None:
    JOB_SPEC.validate_python(yaml_text.load(path.read_text()))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_notebook_is_kept_without_outputs(path: Path) -> None:
    notebook = json.loads(path.read_text())
    assert notebook["nbformat"] == 4
    cells = code_cells(path)
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells)


def test_notebook_of_the_engine_runs_without_a_service(tmp_path: Path) -> None:
    printed = run("engine.ipynb", tmp_path)
    assert float(found(r"test accuracy (\S+)", printed)) > 0.9
    assert "healthy" in printed.splitlines()


def test_notebook_over_http_runs_against_a_service(home: Path, tmp_path: Path) -> None:
    with ServiceProcess(home) as service:
        printed = run("http.ipynb", tmp_path, TRAINWRIGHT_URL=service.url)
    assert float(found(r"test accuracy (\S+)", printed)) > 0.9
    assert "healthy" in printed.splitlines()
    assert "D9" in found(r"warning (.*)", printed)
    assert "helped" in printed


def code_cells(path: Path) -> list[dict[str, Any]]:
    """The cells that hold code."""
    return [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]


def run(notebook: str, folder: Path, **variables: str) -> str:
    """What the notebook's cells print."""
    script = folder / "notebook.py"
    script.write_text("\n\n".join("".join(cell["source"]) for cell in code_cells(EXAMPLES / notebook)))
    environment = os.environ | {"PYTHONPATH": str(ROOT), "MPLBACKEND": "agg", "TMPDIR": str(folder)} | variables
    ended = subprocess.run(
        [sys.executable, str(script)], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def found(pattern: str, text: str) -> str:
    """What the pattern's group matches."""
    match = re.search(pattern, text)
    assert match is not None, text
    return match[1]
