"""The diagnosis of a run while it runs: after each epoch the rules judge it, and new findings become events."""

import math

from sqlalchemy.orm import Session

from service.diagnosis import judge
from service.diagnosis.recording import Recording
from service.events import EpochRecord, Event, StepRecord, Stopped
from service.jobs import diagnose
from service.jobs.run_record import run_record
from service.reports.finding import Finding
from service.store import jobs


class LiveDiagnosis:
    """Takes the events that the recorder takes, and judges the run after each epoch."""

    def __init__(self, job_id: str) -> None:
        self.job_id = job_id
        self._recording: Recording | None = None
        self._is_due = False

    def add(self, event: Event) -> None:
        """Takes one event; a verdict is due after an epoch, the end and a loss that is not finite."""
        if self._recording is not None:
            self._recording.add(event)
        self._is_due |= isinstance(event, EpochRecord | Stopped) or _has_diverged(event)

    @property
    def is_due(self) -> bool:
        """Whether an event since the last stored verdict may change it."""
        return self._is_due

    def committed(self) -> None:
        """The transaction of the last verdict has committed."""
        self._is_due = False

    def judge(self, session: Session) -> list[Finding]:
        """Stores a verdict if one is due; returns findings that are new or worse. Call it once the events are written.

        The first call begins with what the store holds, an earlier attempt's records included. A transaction that fails
        may be repeated: the verdict is due until it has `committed`.
        """
        if not self._is_due:
            return []
        if self._recording is None:
            record = run_record(session, jobs.get(session, self.job_id))
            if record is None:
                return []
            self._recording = Recording.of(record)
        return diagnose.update(session, self.job_id, judge.diagnose(self._recording.record()).findings)


def _has_diverged(event: Event) -> bool:
    return isinstance(event, StepRecord) and not math.isfinite(event.values.get("train/loss", 0.0))
