"""`on_finding: stop`: the training process ends a run that the diagnosis calls hopeless (D1, D10)."""

from collections.abc import Callable

from service.diagnosis.judge import hopeless
from service.diagnosis.recording import Recording
from service.events import EpochRecord, Event, Log
from service.specs.train import TrainSpec
from service.states import StopReason


class Guard:
    """Stands between a run and its supervisor: a hopeless run is asked to end, like a cancelled one."""

    def __init__(self, spec: object, ask: Callable[[], StopReason | None]) -> None:
        self._recording = Recording(spec) if isinstance(spec, TrainSpec) and spec.on_finding == "stop" else None
        self._ask = ask
        self._found = False

    def reason(self) -> StopReason | None:
        """Why the run shall end: what the supervisor asked for, else the finding."""
        return self._ask() or (StopReason.FINDING if self._found else None)

    def saw(self, event: Event) -> Log | None:
        """Takes one event; a line for people when this one made the run hopeless."""
        if self._recording is None or self._found:
            return None
        self._recording.add(event)
        found = hopeless(self._recording.record()) if isinstance(event, EpochRecord) else None
        if found is None:
            return None
        self._found = True
        return Log(f"stopped by finding {found.rule}: {found.explanation}", "warning")
