"""The `tune` job: what it publishes of its trials, in which direction it searches, when it ends."""

import math
from pathlib import Path

import pytest

from service.errors import RunError
from service.events import EpochRecord, FileSaved, Progress, StepRecord
from service.reports.result import TrainResult
from service.states import StopReason
from tests.worker.engine.runs import StopAt, ended_by, only, reports_of
from tests.worker.engine.searches import HIDDEN, LR, make_spec, result_of, study_url, tune
from worker.engine.tune import report


def test_search_reports_every_trial_and_the_best_ones_results(few_digits: Path, tmp_path: Path) -> None:
    events = tune(few_digits, tmp_path, make_spec({"optimizer.lr": LR, "model.hidden": HIDDEN}, n_trials=6))
    found, reports = result_of(events), reports_of(events)
    assert [trial.number for trial in found.data] == list(range(6))
    assert all(reports[f"trial:{trial.number}"] == trial for trial in found.data)
    assert found.best == max(
        (trial for trial in found.data if trial.state == "complete"), key=lambda trial: trial.value or 0.0
    )
    assert set(found.data[0].params) == {"optimizer.lr", "model.hidden"}
    assert isinstance(reports["best"], TrainResult)
    assert found.best is not None
    assert reports["best"].best["accuracy"] == found.best.value
    assert {"report:val", "report:test", "confusion:val", "confusion:test", "checkup"} <= set(reports)
    assert {event.role for event in only(events, FileSaved)} == {"last", "best", "model"}
    assert ended_by(events) is StopReason.COMPLETED
    assert only(events, Progress)[-1].fraction == 1.0
    assert all(math.isclose(sum(found.importances.values()), 1.0) for _ in found.importances)


def test_every_file_has_a_path_of_its_own_however_late_it_is_taken(few_digits: Path, tmp_path: Path) -> None:
    """Two trials, each the best so far, both after the same step."""
    space = {"optimizer.lr": LR | {"low": 1e-7}}
    spec = make_spec(space, train={"epochs": 1, "optimizer": {"lr": 1e-2}}, lr_find=1e-7, n_trials=2, pruner="none")
    saved = [event for event in only(tune(few_digits, tmp_path, spec), FileSaved) if event.role == "best"]
    assert [event.step for event in saved] == [saved[0].step] * 2
    assert len({event.path for event in saved}) == 2


def test_what_matters_is_told_while_the_search_runs(
    few_digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "IMPORTANCES_SECONDS", 0.0)
    events = tune(few_digits, tmp_path, make_spec(train={"epochs": 1}, n_trials=6))
    assert reports_of(events)["importances"].data == {"optimizer.lr": 1.0}


def test_curves_of_trials_are_series_of_the_job(few_digits: Path, tmp_path: Path) -> None:
    events = tune(few_digits, tmp_path, make_spec(n_trials=2, pruner="none"))
    points = [(event.epoch, *event.values) for event in only(events, StepRecord)]
    assert points == [(epoch, f"trial/{n}/val/accuracy") for n in range(2) for epoch in (1, 2)]
    assert [epoch.epoch for epoch in only(events, EpochRecord)] == [1, 2], "the best trial's, at the end"


@pytest.mark.parametrize("metric", ["val/loss", "val/macro_f1"])
def test_metric_decides_the_direction(few_digits: Path, tmp_path: Path, metric: str) -> None:
    found = result_of(tune(few_digits, tmp_path, make_spec(metric=metric, n_trials=3, pruner="none")))
    values = [trial.value for trial in found.data if trial.value is not None]
    assert found.best is not None
    assert found.best.value == (min(values) if metric == "val/loss" else max(values))


def test_search_in_which_nothing_runs_fails_with_the_reason(few_digits: Path, tmp_path: Path) -> None:
    base = {"model": {"family": "mlp", "hidden": [16], "dropout": [0.1, 0.2]}}
    with pytest.raises(RunError, match=r"none of the first 3 trials could run.*2 rates for 1 hidden layers"):
        tune(few_digits, tmp_path, make_spec(train=base, n_trials=3))


def test_search_ends_without_improvement(few_digits: Path, tmp_path: Path) -> None:
    space = {"gradients.every": {"type": "int", "low": 1, "high": 90}}  # changes nothing that is measured
    spec = make_spec(space, train={"epochs": 1}, sampler="random", n_trials=30)
    found = result_of(tune(few_digits, tmp_path, spec))
    assert len(found.data) == 21
    assert any("the last 20 were no better" in note for note in found.notes)


def test_narrow_lead_is_called_noise(few_digits: Path, tmp_path: Path) -> None:
    space = {"gradients.every": {"type": "int", "low": 1, "high": 90}}
    notes = result_of(tune(few_digits, tmp_path, make_spec(space, n_trials=3, pruner="none"))).notes
    assert any("within one standard error" in note and "of 50 val samples" in note for note in notes)


@pytest.mark.parametrize("reason", [StopReason.PAUSED, StopReason.CANCELLED])
def test_stop_breaks_a_trial_off_and_a_paused_search_goes_on(
    few_digits: Path, tmp_path: Path, reason: StopReason
) -> None:
    spec = make_spec(n_trials=3, pruner="none")
    stopped = tune(few_digits, tmp_path / "a", spec, study_url=study_url(tmp_path), stop=StopAt(18, reason))
    assert ended_by(stopped) is reason
    broken = result_of(stopped).data[-1]
    is_paused = reason is StopReason.PAUSED
    assert (broken.state, broken.number) == ("waiting" if is_paused else "failed", 1)
    assert broken.reason == (None if is_paused else "broken off; given up")
    resumed = result_of(tune(few_digits, tmp_path / "b", spec, study_url=study_url(tmp_path)))
    whole = result_of(tune(few_digits, tmp_path / "c", spec))
    if is_paused:
        assert resumed.data[1].params == broken.params
        assert [trial.state for trial in resumed.data] == ["complete"] * 3
    assert resumed.data[0].model_copy(update={"duration_seconds": 0}) == whole.data[0].model_copy(
        update={"duration_seconds": 0}
    )
