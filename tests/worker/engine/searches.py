"""Searches on a few digits, and what they say."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna

from service.events import Event
from service.reports.result import TuneReport
from service.specs.tune import TuneRunnerSpec, TuneSpec
from tests.worker.engine.runs import reports_of
from worker.engine import run
from worker.engine.context import RunContext

SMALL = "shufflenet_v2_x0_5"
LR = {"type": "float", "low": 1e-4, "high": 1e-1, "log": True}
HIDDEN = {"type": "layers", "depth": [1, 3], "width": [16, 64], "step": 16}
BASE: dict[str, Any] = {"dataset": "digits", "epochs": 2, "batch_size": 64, "model": {"family": "mlp", "hidden": [32]}}


def make_spec(space: dict[str, Any] | None = None, train: dict[str, Any] | None = None, **fields: Any) -> TuneSpec:
    return TuneSpec.model_validate(
        {"kind": "tune", "train": BASE | (train or {}), "search_space": space or {"optimizer.lr": LR}, "n_trials": 4}
        | fields
    )


def tune(data: Path, scratch: Path, spec: TuneSpec, **context: Any) -> list[Event]:
    return list(events_of(data, scratch, spec, **context))


def events_of(data: Path, scratch: Path, spec: TuneSpec, **context: Any) -> Iterator[Event]:
    scratch.mkdir(exist_ok=True)
    return run(spec, RunContext(scratch=scratch, dataset=data, **context))


def result_of(events: list[Event]) -> TuneReport:
    found = reports_of(events)["result"]
    assert isinstance(found, TuneReport)
    return found


def study_url(folder: Path) -> str:
    return f"sqlite:///{folder}/study.db"


def study_at(folder: Path) -> optuna.Study:
    return optuna.load_study(study_name="tune", storage=study_url(folder))


def beside(data: Path, folder: Path, spec: TuneSpec, number: int, **context: Any) -> Iterator[Event]:
    """A runner beside the job's own process, on the same study."""
    scratch = folder / f"runner-{number}"
    scratch.mkdir()
    runner = TuneRunnerSpec.of(spec, "tune", number)
    return run(
        runner,
        RunContext(scratch=scratch, dataset=data, study_url=study_url(folder), runner=f"runner-{number}", **context),
    )


def until(events: Iterator[Event], is_last: Callable[[Event], bool]) -> list[Event]:
    """Events up to the first for which `is_last` holds, with it."""
    passed: list[Event] = []
    for event in events:
        passed.append(event)
        if is_last(event):
            return passed
    raise AssertionError(passed)
