"""The diagnosis of a run while it runs: what the rules say after each epoch is kept and told."""

import math

from sqlalchemy.orm import Session

from service.diagnosis import judge
from service.diagnosis.recording import Recording
from service.events import EpochRecord, Event, StepRecord, Stopped
from service.jobs import diagnose
from service.reports.finding import Finding
from service.store import jobs


class LiveDiagnosis:
    """Listens to the events that the recorder takes, and tells what holds after each epoch."""

    def __init__(self, job_id: str) -> None:
        self.job_id = job_id
        self._recording: Recording | None = None
        self._is_due = False

    def add(self, event: Event) -> None:
        """Takes one event; an epoch, the end and a loss that is not finite call for a verdict."""
        if self._recording is not None:
            self._recording.add(event)
        self._is_due |= isinstance(event, EpochRecord | Stopped) or _is_broken(event)

    @property
    def is_due(self) -> bool:
        """Whether something has come in since the last verdict that may change it."""
        return self._is_due

    def told(self) -> None:
        """The last verdict is safely stored."""
        self._is_due = False

    def tell(self, session: Session) -> list[Finding]:
        """Judges if an epoch ended; returns findings that are new or worse. Call it after the events were written.

        The first call begins with what the store holds, an earlier attempt's records included. Telling again is
        harmless: until `told`, a transaction that failed is repeated.
        """
        if not self._is_due:
            return []
        if self._recording is None:
            record = diagnose.record_of(session, jobs.get(session, self.job_id))
            if record is None:
                return []
            self._recording = Recording.of(record)
        return diagnose.sync(session, self.job_id, judge.diagnose(self._recording.record()).findings)


def _is_broken(event: Event) -> bool:
    return isinstance(event, StepRecord) and not math.isfinite(event.values.get("train/loss", 0.0))
