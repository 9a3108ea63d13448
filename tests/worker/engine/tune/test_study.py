"""Trials whose process died or whose runner fell silent, and those that are too many."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from optuna.trial import TrialState

from service.events import Event, FileSaved, Log, Progress, RunnersWanted, StepRecord
from service.states import StopReason
from tests.worker.engine.runs import ended_by, only, reports_of
from tests.worker.engine.searches import beside, events_of, make_spec, result_of, study_at, study_url, tune, until
from worker.engine.tune import heartbeat


def test_killed_trial_is_run_again_and_the_best_ones_weights_are_found(few_digits: Path, tmp_path: Path) -> None:
    spec = make_spec(n_trials=3, pruner="none")
    saved: list[Path] = []
    running = events_of(few_digits, tmp_path / "a", spec, study_url=study_url(tmp_path))
    for event in running:
        if isinstance(event, FileSaved) and event.role == "last":
            saved.append(event.path)
        if isinstance(event, StepRecord) and "trial/1/val/accuracy" in event.values:
            break  # and nothing more is told to the study: the process is gone
    assert study_at(tmp_path).trials[1].state is TrialState.RUNNING
    events = tune(few_digits, tmp_path / "b", spec, study_url=study_url(tmp_path), resume_from=saved[-1])
    found = result_of(events)
    assert [(trial.number, trial.state) for trial in found.data] == [(0, "complete"), (1, "complete"), (2, "complete")]
    assert "trial 1 is run again: its process died" in [event.message for event in only(events, Log)]
    assert found.best is not None
    assert reports_of(events)["best"].best["accuracy"] == found.best.value


def test_trial_that_always_kills_its_process_is_given_up(few_digits: Path, tmp_path: Path) -> None:
    spec = make_spec(n_trials=2, pruner="none")
    for attempt in range(3):
        for event in events_of(few_digits, tmp_path / str(attempt), spec, study_url=study_url(tmp_path)):
            if isinstance(event, StepRecord):
                break
    found = result_of(tune(few_digits, tmp_path / "last", spec, study_url=study_url(tmp_path)))
    assert [trial.state for trial in found.data] == ["failed", "complete"]
    assert found.data[0].reason == "its process died; given up"


class Meanwhile:
    """A `context.stop` that never stops, and in which the events of another process go by when it is asked again."""

    def __init__(self, others: Iterator[Event], asked: int = 4) -> None:
        self.left, self.others, self.events = asked, others, list[Event]()

    def __call__(self) -> None:
        self.left -= 1
        if self.left == 0:
            self.events += self.others


def test_trial_of_a_runner_that_falls_silent_is_run_again(
    few_digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The runner hangs in its first trial until the search is over, and comes back to life."""
    monkeypatch.setattr(heartbeat, "GRACE_SECONDS", 0.1)
    spec = make_spec(n_trials=2, pruner="none", parallelism=2)
    own = events_of(few_digits, tmp_path / "main", spec, study_url=study_url(tmp_path))
    until(own, lambda event: isinstance(event, RunnersWanted))
    meanwhile = Meanwhile(own)
    late = list(beside(few_digits, tmp_path, spec, 2, stop=meanwhile))
    found = result_of(meanwhile.events)
    assert [(trial.runner, trial.state) for trial in found.data] == [("main", "complete")] * 2
    assert "trial 0 is run again: its runner fell silent" in [event.message for event in only(meanwhile.events, Log)]
    assert ended_by(late) is StopReason.COMPLETED
    assert not only(late, FileSaved)
    assert len(study_at(tmp_path).trials) == 2


def test_search_that_is_over_ends_the_trials_of_others(few_digits: Path, tmp_path: Path) -> None:
    space = {"gradients.every": {"type": "int", "low": 1, "high": 90}}  # changes nothing that is measured
    spec = make_spec(space, train={"epochs": 1}, sampler="random", n_trials=30, parallelism=2)
    own = events_of(few_digits, tmp_path / "main", spec, study_url=study_url(tmp_path))
    until(own, lambda event: isinstance(event, Progress))
    meanwhile = Meanwhile(own)
    late = list(beside(few_digits, tmp_path, spec, 2, stop=meanwhile))
    (theirs,) = [trial for trial in result_of(meanwhile.events).data if trial.runner == "runner-2"]
    assert (theirs.state, theirs.reason) == ("pruned", "the search was over")
    assert ended_by(late) is StopReason.COMPLETED
