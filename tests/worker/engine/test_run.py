"""Every kind of job through the engine's one entrance: what it says first, and which reports there are."""

import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from service.events import Event, Reported
from service.reports.environment import EnvironmentReport
from service.reports.names import ReportName
from service.specs import JOB_SPEC, KINDS
from tests.worker.engine.runs import only
from worker.engine import run
from worker.engine.context import RunContext
from worker.engine.runtime.environment import describe_environment
from worker.engine.tune import report

QUICK: Mapping[str, dict[str, Any]] = {
    "train": {"epochs": 1},
    "lr-find": {"num_steps": 20},
    "sanity": {"max_steps": 3},
    "batch-size": {"candidates": [32], "search_up": False},
    "tune": {
        "train": {"dataset": "digits", "epochs": 1},
        "search_space": {"optimizer.lr": {"type": "float", "low": 1e-4, "high": 1e-2}},
        "n_trials": 2,
    },
}


@pytest.fixture(scope="module")
def happened(few_digits: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Event]]:
    """The events of a short job of each kind."""
    events = {}
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setattr(report, "IMPORTANCES_SECONDS", 0.0)
    for kind in KINDS:
        data = {} if "train" in QUICK[kind] else {"dataset": "digits"}
        spec = JOB_SPEC.validate_python({"kind": kind} | data | QUICK[kind])
        context = RunContext(scratch=tmp_path_factory.mktemp(kind), dataset=few_digits)
        events[kind] = list(run(spec, context))
    monkeypatch.undo()
    return events


def test_every_job_says_first_where_it_runs(happened: dict[str, list[Event]]) -> None:
    for events in happened.values():
        first = events[0]
        assert isinstance(first, Reported)
        assert first.name == ReportName.ENVIRONMENT
        assert first.report == describe_environment("cpu", 1)


def test_every_name_of_a_report_has_a_producer_and_no_other_is_used(happened: dict[str, list[Event]]) -> None:
    names = {event.name.partition(":")[0] for events in happened.values() for event in only(events, Reported)}
    assert names == set(ReportName)


def test_the_environment_names_versions_and_machine() -> None:
    found = describe_environment("cpu", 3)
    assert EnvironmentReport.model_validate_json(found.model_dump_json()) == found
    assert found.versions["python"] == platform.python_version()
    assert found.versions["torch"] == torch.__version__
    assert found.versions["numpy"] == np.__version__
    assert ("cuda" in found.versions) == (torch.version.cuda is not None)
    assert ("cudnn" in found.versions) == (torch.version.cuda is not None)
    assert (found.machine.threads, found.machine.gpu) == (3, None)
    assert found.machine.cores >= 1
    assert platform.machine() in found.machine.platform
    assert found.machine.processor
