"""The house keeps its one arrow: `worker` imports `service`, and `service` stays free of torch."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import service
import worker

ROOT = Path(__file__).resolve().parents[1]


def test_both_packages_come_from_this_tree() -> None:
    assert Path(service.__file__ or "").parent == ROOT / "service"
    assert Path(worker.__file__ or "").parent == ROOT / "worker"


def test_import_linter_keeps_the_contracts() -> None:
    linted = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()", "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert linted.returncode == 0, linted.stdout + linted.stderr
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    assert f"{len(contracts)} kept, 0 broken" in linted.stdout


def test_the_api_loads_no_torch_and_what_else_makes_its_start_slow_only_when_used() -> None:
    program = "import json, sys, service.api.app; print(json.dumps(sorted(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    heavy = {
        "torch",
        "torchvision",
        "optuna",
        "worker",
        "matplotlib",
        "sklearn",
        "numpy",
        "PIL",
        "celery",
        "prometheus_client",
    }
    assert not heavy & set(json.loads(loaded.stdout))
