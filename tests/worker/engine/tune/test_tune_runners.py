"""Runners beside a search's own process: one study, each trial once, and what becomes of those that fall silent."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from service.events import Event, FileSaved, Log, Progress, RunnersWanted, StepRecord
from service.specs.tune import TuneRunnerSpec, TuneSpec
from service.states import StopReason
from tests.worker.engine.runs import ended_by, only, reports_of
from tests.worker.engine.searches import events_of, make_spec, result_of, study_at, study_url
from worker.engine import run
from worker.engine.context import RunContext
from worker.engine.tune import heartbeat


def beside(data: Path, folder: Path, spec: TuneSpec, number: int, **context: Any) -> Iterator[Event]:
    """A runner beside the job's own process, on the same study."""
    scratch = folder / f"runner-{number}"
    scratch.mkdir()
    runner = TuneRunnerSpec.of(spec, "tune", number)
    return run(
        runner,
        RunContext(scratch=scratch, dataset=data, study_url=study_url(folder), runner=f"runner-{number}", **context),
    )


def until(events: Iterator[Event], wanted: Callable[[Event], bool]) -> list[Event]:
    """Events up to the first that is wanted, with it."""
    said: list[Event] = []
    for event in events:
        said.append(event)
        if wanted(event):
            return said
    raise AssertionError(said)


def test_runners_share_one_study(few_digits: Path, tmp_path: Path) -> None:
    """The job's own process and two beside it, in turn: each trial is run once, and the job tells all of them."""
    spec = make_spec(n_trials=6, pruner="none", train={"epochs": 1}, parallelism=3)
    own = events_of(few_digits, tmp_path / "main", spec, study_url=study_url(tmp_path))
    events = until(own, lambda event: isinstance(event, RunnersWanted))
    assert [event.count for event in only(events, RunnersWanted)] == [2]
    runners = {"main": own} | {f"runner-{n}": beside(few_digits, tmp_path, spec, n) for n in (2, 3)}
    said: dict[str, list[Event]] = {name: [] for name in runners}
    while runners:
        for name, runner in list(runners.items()):
            event = next(runner, None)
            if event is None:
                del runners[name]
            else:
                said[name].append(event)
    events += said.pop("main")
    found = result_of(events)
    assert [trial.number for trial in found.data] == list(range(6))
    assert {trial.runner for trial in found.data} == {"main", *said}
    assert len({trial.params["optimizer.lr"] for trial in found.data}) == 6
    assert all(reports_of(events)[f"trial:{trial.number}"] == trial for trial in found.data)
    points = [name for event in only(events, StepRecord) for name in event.values]
    assert sorted(points) == [f"trial/{n}/val/accuracy" for n in range(6)]
    for each in said.values():
        assert not only(each, StepRecord)
        assert list(reports_of(each)) == ["environment"]
        assert ended_by(each) is StopReason.COMPLETED


def test_best_trial_of_another_runner_becomes_the_jobs_own(few_digits: Path, tmp_path: Path) -> None:
    spec = make_spec(n_trials=3, pruner="none", parallelism=2)
    saved: dict[str, Path] = {}
    own = events_of(
        few_digits,
        tmp_path / "main",
        spec,
        study_url=study_url(tmp_path),
        trial_state=lambda number: saved.get(f"trial-{number:05d}.pt"),
    )
    events = until(own, lambda event: isinstance(event, RunnersWanted))
    saved |= {event.name: event.path for event in only(beside(few_digits, tmp_path, spec, 2), FileSaved)}
    events += own
    best = result_of(events).best
    assert best is not None
    assert best.runner == "runner-2"
    assert not any("is trained again here" in event.message for event in only(events, Log))
    assert reports_of(events)["best"].best["accuracy"] == best.value
    assert [event.name for event in only(events, FileSaved)] == [
        f"trial-{best.number:05d}.pt",
        "best.safetensors",
        "model.safetensors",
    ]


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
    assert [(trial.runner, trial.state) for trial in found.data] == [
        ("runner-2", "failed"),
        ("main", "complete"),
        ("main", "complete"),
    ]
    assert found.data[0].reason == "its runner fell silent; it is run again"
    assert found.data[2].params == found.data[0].params
    assert ended_by(late) is StopReason.COMPLETED
    assert not only(late, FileSaved)
    assert len(study_at(tmp_path).trials) == 3


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
