"""Short trainings for tests, and what their events say."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from service.events import EpochRecord, Event, FileSaved, Reported, StepRecord, Stopped
from service.resolution.defaults import filled
from service.specs.train import TrainSpec
from service.states import StopReason
from worker.engine import run
from worker.engine.context import RunContext

E = TypeVar("E", bound=Event)
Steps = dict[int, dict[str, float]]


def spec_of(**fields: Any) -> TrainSpec:
    """A resolved `train` spec that is quick: three epochs of a small network, unless told otherwise."""
    quick = {"epochs": 3, "model": {"family": "mlp", "hidden": [32]}}
    return filled(TrainSpec.model_validate({"kind": "train", "dataset": "digits"} | quick | fields))


def train(data: Path, scratch: Path, spec: TrainSpec, **context: Any) -> list[Event]:
    """All events of a run."""
    return list(events_of(data, scratch, spec, **context))


def events_of(data: Path, scratch: Path, spec: TrainSpec, **context: Any) -> Iterator[Event]:
    """A run under way."""
    return run(spec, RunContext(scratch=scratch, dataset=data, **context))


def only(events: Iterable[Event], kind: type[E]) -> list[E]:
    """The events of one type, in order."""
    return [event for event in events if isinstance(event, kind)]


def steps_of(events: Iterable[Event]) -> Steps:
    """Values of each optimizer step."""
    return {event.step: event.values for event in only(events, StepRecord)}


def epochs_of(events: Iterable[Event]) -> list[tuple[Any, ...]]:
    """What epochs record, without the time they took."""
    return [(e.epoch, e.step, e.train, e.val, e.lr, e.is_best, e.probes) for e in only(events, EpochRecord)]


def reports_of(events: Iterable[Event]) -> dict[str, Any]:
    """Reports by name."""
    return {event.name: event.report for event in only(events, Reported)}


def last_state(events: Iterable[Event]) -> FileSaved:
    """The last resume state that was announced."""
    return [event for event in only(events, FileSaved) if event.role == "last"][-1]


def ended_by(events: list[Event]) -> StopReason:
    """The reason in the last event."""
    last = events[-1]
    assert isinstance(last, Stopped)
    return last.reason


class StopAt:
    """A `context.stop` that gives its reason from the n-th time on that it is asked."""

    def __init__(self, asked: int, reason: StopReason = StopReason.PAUSED) -> None:
        self.left, self.reason = asked, reason

    def __call__(self) -> StopReason | None:
        self.left -= 1
        return self.reason if self.left <= 0 else None
