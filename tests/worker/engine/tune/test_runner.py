"""Runners beside a search's own process: one study, each trial once."""

from pathlib import Path

from service.events import Event, RunnersWanted, StepRecord
from service.states import StopReason
from tests.worker.engine.runs import ended_by, only, reports_of
from tests.worker.engine.searches import beside, events_of, make_spec, result_of, study_url, until


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
