"""`on_finding: stop`: the training process ends a run that the diagnosis calls hopeless (D1, D10)."""

from collections.abc import Callable, Iterator
from dataclasses import replace

from service.diagnosis.judge import hopeless
from service.diagnosis.recording import Recording
from service.events import EpochRecord, Event, Log, Reported
from service.reports.result import TrainResult
from service.specs.train import TrainSpec
from service.states import StopReason


class Guard:
    """Stands between a run and its supervisor: a hopeless run is asked to end, like a cancelled one."""

    def __init__(self, spec: object, ask: Callable[[], StopReason | None]) -> None:
        self._recording = Recording(spec) if isinstance(spec, TrainSpec) and spec.on_finding == "stop" else None
        self._ask = ask
        self._found: str | None = None

    def reason(self) -> StopReason | None:
        """Why the run shall end: what the supervisor asked for, else the finding."""
        return self._ask() or (StopReason.FINDING if self._found else None)

    def passed(self, event: Event) -> Iterator[Event]:
        """The event on its way out, after it a line for people when it made the run hopeless; the result says why."""
        if self._found and isinstance(event, Reported) and isinstance(event.report, TrainResult):
            result = event.report.model_copy(update={"notes": [*event.report.notes, self._found]})
            yield replace(event, report=result)
            return
        yield event
        if self._recording is not None and self._found is None:
            yield from self._looked_at(self._recording, event)

    def _looked_at(self, recording: Recording, event: Event) -> Iterator[Event]:
        recording.add(event)
        found = hopeless(recording.record()) if isinstance(event, EpochRecord) else None
        if found is not None:
            self._found = f"stopped by finding {found.rule}: {found.explanation}"
            yield Log(self._found, "warning")
