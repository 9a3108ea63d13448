"""The queue: how many jobs wait, in which order, and for what."""

from collections.abc import Sequence
from datetime import datetime
from typing import TypeVar

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from service.errors import BusyError
from service.reports.job import QueuePlace
from service.reports.operations import WaitingJob
from service.settings import Settings
from service.states import JobState
from service.store import dependencies, workers
from service.store.session import now
from service.store.tables import JobRow

Create = TypeVar("Create")

WORKER_SILENCE_SECONDS = 60
"""A worker that has been silent for longer does not count as running."""


def count(session: Session) -> int:
    """How many jobs wait."""
    return session.execute(select(func.count()).where(JobRow.state == JobState.QUEUED)).scalar_one()


def refuse_when_full(session: Session, settings: Settings) -> None:
    """BusyError when as many jobs wait as may."""
    if count(session) >= settings.max_queue_length:
        raise BusyError(f"{settings.max_queue_length} jobs wait already; try again later")


def unless_full(session: Session, settings: Settings, create: Create) -> Create:
    """What creates a job that needs no other judgement than this: BusyError when the queue is full."""
    refuse_when_full(session, settings)
    return create


def count_by_state(session: Session) -> dict[JobState, int]:
    """How many jobs there are in each state."""
    counts = dict(session.execute(select(JobRow.state, func.count()).group_by(JobRow.state)).all())
    return {state: counts.get(state, 0) for state in JobState}


def waiting(session: Session, limit: int) -> list[WaitingJob]:
    """The first `limit` jobs that wait, in the order in which workers take them."""
    query = select(JobRow).where(JobRow.state == JobState.QUEUED).order_by(JobRow.priority.desc(), JobRow.id)
    rows = session.execute(query.limit(limit)).scalars().all()
    return [
        WaitingJob(job=row.id, name=row.name, kind=row.kind, position=place.position, reason=place.reason)
        for row, place in zip(rows, places(session, rows).values(), strict=True)
    ]


def has_gpu(session: Session) -> bool:
    """Whether a worker that runs has a GPU."""
    return any(workers.has_gpu(row.devices) for row in workers.alive(session, WORKER_SILENCE_SECONDS))


def places(session: Session, rows: Sequence[JobRow]) -> dict[str, QueuePlace]:
    """Where each of these jobs stands that waits, and what it waits for; a constant number of queries."""
    ids = [row.id for row in rows if row.state == JobState.QUEUED]
    if not ids:
        return {}
    has_worker, gpu = bool(workers.alive(session, WORKER_SILENCE_SECONDS)), has_gpu(session)
    order = select(JobRow.id).where(JobRow.state == JobState.QUEUED).order_by(JobRow.priority.desc(), JobRow.id)
    positions = {job_id: position for position, job_id in enumerate(session.execute(order).scalars(), start=1)}
    needs, time = dependencies.unmet(session, ids), now(session)
    return {
        row.id: QueuePlace(
            position=positions.get(row.id, 1),
            reason=_held(row, time)
            or _needed(needs.get(row.id, []))
            or _lacking(row, has_worker, gpu)
            or _ahead(positions.get(row.id, 1)),
        )
        for row in rows
        if row.state == JobState.QUEUED
    }


def _held(row: JobRow, time: datetime) -> str | None:
    """Why the job is held; None when it is not, or not any longer."""
    if row.held_until is None or row.held_until <= time:
        return None
    return f"{row.hold_reason}; it is tried again at {row.held_until:%Y-%m-%d %H:%M:%S} UTC"


def _needed(needs: Sequence[JobRow]) -> str | None:
    return "waits for " + " and ".join(f"the {job.kind} job {job.id} ({job.state})" for job in needs) if needs else None


def _lacking(row: JobRow, has_worker: bool, gpu: bool) -> str | None:
    """What no worker that runs could give the job."""
    if not has_worker:
        return "waits for a worker: none is running"
    asks_for_gpu = row.spec.get("train", row.spec).get("device") == "cuda"
    return "waits for a worker with a GPU, as the spec asks: none is running" if asks_for_gpu and not gpu else None


def _ahead(position: int) -> str:
    return "waits for a free worker" if position == 1 else f"waits for a free worker; {position - 1} ahead"
