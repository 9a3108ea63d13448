"""What guarantees that nothing is forgotten: rings again, takes back expired leases, settles, collects."""

import logging
import threading
from collections.abc import Callable, Iterable
from datetime import timedelta

from sqlalchemy import or_, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from service.errors import WorkerLostError
from service.states import OWNED, TERMINAL, JobState, StopReason
from service.store import idempotency, jobs, settle
from service.store.jobs import Fence, LostLeaseError
from service.store.session import Store, now
from service.store.tables import DependencyRow, FileRow, JobRow, SweepRow

logger = logging.getLogger(__name__)
RING_AT_MOST = 100
"""Messages a sweep sends; the rest is rung by the next one."""


def sweep(store: Store, ring: Callable[[Iterable[str]], bool]) -> bool:
    """One sweep; returns False when another process swept within the last half period."""
    if not _my_turn(store):
        return False
    free = _reclaim(store) + _settle_all(store)
    ring(dict.fromkeys(free + _unrung(store)))
    with store.begin() as session:
        idempotency.forget_old(session)
    return True


def _my_turn(store: Store) -> bool:
    """Compare-and-set of the time of the last sweep: works alike on SQLite and Postgres."""
    with store.begin() as session:
        row = session.get(SweepRow, 1, with_for_update=True)
        time = now(session)
        if row is None:
            session.add(SweepRow(id=1, swept_at=time))
            return True
        if time - row.swept_at < timedelta(seconds=store.settings.sweep_seconds / 2):
            return False
        row.swept_at = time
        return True


def _reclaim(store: Store) -> list[str]:
    """Takes back attempts whose lease ran out; each in a transaction of its own."""
    with store.read() as session:
        expired = select(JobRow.id, JobRow.attempt, JobRow.owner).where(
            JobRow.state.in_([str(state) for state in OWNED]), JobRow.lease_until < now(session)
        )
        lost = [Fence(job_id, attempt, owner or "") for job_id, attempt, owner in session.execute(expired)]
    free: list[str] = []
    for fence in lost:
        with store.begin() as session:
            free += _give_back(session, fence, store.settings.max_attempts)
    return free


def _give_back(session: Session, fence: Fence, max_attempts: int) -> list[str]:
    row = jobs.get(session, fence.job_id)
    if row.lease_until is None or row.lease_until >= now(session):
        return []  # it came back to life
    logger.warning("job %s: the lease of attempt %s ran out", fence.job_id, fence.attempt)
    try:
        match row.state:
            case JobState.CANCELLING:
                return settle.end(session, row.id, JobState.CANCELLED, fence=fence, stop_reason=StopReason.CANCELLED)
            case JobState.PAUSING:
                jobs.transition(session, row.id, JobState.PAUSED, fence=fence, stop_reason=StopReason.PAUSED)
                return []
            case _ if row.lost_attempts + 1 >= max_attempts:
                error = WorkerLostError(
                    f"the worker was lost in {row.lost_attempts + 1} attempts; the last checkpoint is kept"
                )
                return settle.end(session, row.id, JobState.FAILED, fence=fence, error=error.problem())
            case _:
                return [row.id] if settle.requeue(session, fence, lost=True) else []
    except LostLeaseError:
        return []  # it ended meanwhile


def _settle_all(store: Store) -> list[str]:
    """Frees or fails jobs whose need ended while they were being made."""
    with store.begin() as session:
        ended = (
            select(DependencyRow.needs_job_id)
            .join(JobRow, JobRow.id == DependencyRow.needs_job_id)
            .where(JobRow.state.in_([JobState.FAILED, JobState.CANCELLED]))
            .where(
                DependencyRow.job_id.in_(select(JobRow.id).where(JobRow.state.in_([JobState.QUEUED, JobState.PAUSED])))
            )
            .distinct()
        )
        return [job_id for need in session.execute(ended).scalars().all() for job_id in settle.settle(session, need)]


def _unrung(store: Store) -> list[str]:
    """Jobs that could start and whose message was never sent, or so long ago that it may be lost."""
    with store.read() as session:
        old = now(session) - timedelta(seconds=store.settings.rering_seconds)
        wanted = select(JobRow.id).where(jobs.claimable(), or_(JobRow.rung_at.is_(None), JobRow.rung_at < old))
        ordered = wanted.order_by(JobRow.priority.desc(), JobRow.id).limit(RING_AT_MOST)
        return list(session.execute(ordered).scalars())


def collect(store: Store) -> int:
    """Deletes artifacts that no row names and whose job has ended or is gone; returns how many keys went."""
    with store.read() as session:
        named = set(session.execute(select(FileRow.artifact)).scalars())
        open_jobs = set(
            session.execute(select(JobRow.id).where(JobRow.state.not_in([str(state) for state in TERMINAL]))).scalars()
        )
    orphans = [key for key in store.artifacts.keys("jobs") if key not in named and key.split("/")[1] not in open_jobs]
    return sum(store.artifacts.delete(key) for key in orphans)


def run_forever(store: Store, ring: Callable[[Iterable[str]], bool], stop: threading.Event) -> None:
    """Sweeps until `stop` is set; a database that does not answer is tried again."""
    while not stop.wait(store.settings.sweep_seconds):
        try:
            sweep(store, ring)
        except SQLAlchemyError:
            logger.exception("the sweep failed; the next one tries again")
