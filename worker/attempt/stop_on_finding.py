"""`on_finding: stop`: the training process ends a run that the diagnosis calls hopeless (D1, D10)."""

from collections.abc import Callable, Iterator
from dataclasses import replace

from service.diagnosis.judge import hopeless
from service.diagnosis.recording import Recording
from service.events import EpochRecord, Event, Log, Reported
from service.reports.result import TrainResult
from service.specs.train import TrainSpec
from service.states import StopReason


class StopOnFinding:
    """Stands between a run and its supervisor: a hopeless run is asked to end, like a cancelled one."""

    def __init__(self, spec: object, requested: Callable[[], StopReason | None]) -> None:
        self._recording = Recording(spec) if isinstance(spec, TrainSpec) and spec.on_finding == "stop" else None
        self._requested = requested
        self._message: str | None = None

    def reason(self) -> StopReason | None:
        """Why the run shall end: what the supervisor requested, else the finding."""
        return self._requested() or (StopReason.FINDING if self._message else None)

    def forward(self, event: Event) -> Iterator[Event]:
        """The event, and after it a warning when it made the run hopeless; the run's result then has the reason too."""
        if self._message and isinstance(event, Reported) and isinstance(event.report, TrainResult):
            result = event.report.model_copy(update={"notes": [*event.report.notes, self._message]})
            yield replace(event, report=result)
            return
        yield event
        if self._recording is not None and self._message is None:
            yield from self._judge(self._recording, event)

    def _judge(self, recording: Recording, event: Event) -> Iterator[Event]:
        recording.add(event)
        finding = hopeless(recording.record()) if isinstance(event, EpochRecord) else None
        if finding is not None:
            self._message = f"stopped by finding {finding.rule}: {finding.explanation}"
            yield Log(self._message, "warning")
