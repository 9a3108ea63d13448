"""What must hold of the record of any job that has ended, whatever happened while it ran."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Protocol

from service.errors import NotFoundError
from service.states import TRANSITIONS, JobState, is_terminal
from service.store import events, files, jobs
from service.store.session import Store
from service.store.tables import EventRow, JobRow

WORK = frozenset({"phase", "metric", "progress", "epoch", "checkpoint", "result", "resumed"})
"""Events that an attempt records, and nobody else."""


class Event(Protocol):
    """What is read of an event."""

    @property
    def seq(self) -> int: ...
    @property
    def time(self) -> datetime: ...
    @property
    def type(self) -> str: ...
    @property
    def data(self) -> dict[str, object]: ...


@dataclass(frozen=True)
class Resumes:
    """Attempts that began when a checkpoint was there."""

    from_checkpoint: int
    from_start: int


def read_events(store: Store, job_id: str) -> list[EventRow]:
    """Every event of the job."""
    with store.read() as session:
        return events.after(session, job_id, 0, 100_000)


def faults_of(store: Store, job_id: str, recorded: Sequence[Event]) -> Iterator[str]:
    """What does not hold, in words."""
    with store.read() as session:
        row = jobs.get(session, job_id)
    yield from faults_of_events(recorded, row.next_seq)
    yield from _faults_of_row(row)
    yield from _faults_of_files(store, row)


def faults_of_events(recorded: Sequence[Event], next_seq: int) -> Iterator[str]:
    """Numbers without a gap, legal transitions only, and one end."""
    numbers = [event.seq for event in recorded]
    if numbers != list(range(1, next_seq)):
        yield f"event numbers {numbers} where 1 to {next_seq - 1} should be"
    states = [JobState(str(event.data["state"])) for event in recorded if event.type == "state"]
    if states[:1] != [JobState.QUEUED]:
        yield f"the first state is {states[:1]}"
    for before, after in pairwise(states):
        if after not in TRANSITIONS[before]:
            yield f"transition from {before} to {after}"
    if [event.type for event in recorded].count("end") != 1 or recorded[-1].type != "end":
        yield "no single `end` as the last event"


def _faults_of_row(row: JobRow) -> Iterator[str]:
    if is_terminal(JobState(row.state)) and (row.worker_id, row.lease_until) != (None, None):
        yield f"ended, and {row.worker_id} holds it until {row.lease_until}"


def _faults_of_files(store: Store, row: JobRow) -> Iterator[str]:
    """Every file that a row names is there, as long as its row says and with its hash."""
    owners = [row.id] + ([row.dataset_id] if row.kind == "import" and row.dataset_id else [])
    with store.read() as session:
        named = [file for owner in owners for file in files.of(session, owner)]
    for file in named:
        try:
            content = b"".join(store.artifacts.read(file.artifact))
        except NotFoundError:
            yield f"the file {file.name} is missing"
            continue
        if hashlib.sha256(content).hexdigest() != file.sha256:
            yield f"the file {file.name} is damaged"


def resumes(recorded: Sequence[Event]) -> Resumes:
    """How the attempts after the first checkpoint began, those that came to training at all."""
    step = 0
    """Of the newest checkpoint so far."""
    expected: int | None = None
    """The step that the current attempt is to resume from."""
    good = bad = 0
    for event in recorded:
        if event.type == "state" and event.data["state"] == JobState.RUNNING:
            expected = step or None
        elif event.type == "resumed" and expected is not None:
            good, bad = (good + 1, bad) if event.data["step"] == expected else (good, bad + 1)
            expected = None
        elif event.type in ("metric", "epoch") and expected is not None:
            bad, expected = bad + 1, None
        elif event.type == "checkpoint" and event.data["role"] == "last":
            step = int(str(event.data["step"]))
    return Resumes(good, bad)


def recovered_after(recorded: Sequence[Event], fault_at: datetime) -> float | None:
    """Seconds from the fault to the first work of the attempt that went on; None when the job did not run then."""
    before = [event for event in recorded if event.time <= fault_at]
    states = [event.data["state"] for event in before if event.type == "state"]
    if states[-1:] != [JobState.RUNNING]:
        return None
    later = [event for event in recorded if event.time > fault_at]
    began_anew = [event.time for event in later if event.type == "state" and event.data["state"] == JobState.RUNNING]
    since = began_anew[0] if began_anew else fault_at
    work = [event.time for event in later if event.type in WORK and event.time >= since]
    return (work[0] - fault_at).total_seconds() if work else None
