"""Forgets nothing: notifies workers again, takes back expired leases, updates dependents, deletes files."""

import logging
import threading
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta

from sqlalchemy import select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Session

from service.access import sessions, throttles
from service.errors import SchemaError, WorkerLostError
from service.jobs import completion, idempotency, runners, transitions
from service.states import OWNED, Actor, JobState, StopReason
from service.store import attempts, jobs, migrate, workers
from service.store.attempts import Fence, LostLeaseError
from service.store.session import Store, now, upsert
from service.store.tables import JobRow, SweepRow
from service.upkeep.collector import collect
from service.upkeep.retention import retain

logger = logging.getLogger(__name__)
NOTIFY_AT_MOST = 100
"""Messages a sweep sends; the next one sends the rest."""
COLLECT_EVERY = 100
"""Sweeps of this process between two searches for orphaned files."""
RETAIN_EVERY = 20
"""Sweeps of this process between two rounds of retention."""


def sweep(store: Store, notify: Callable[[Iterable[str]], object], *, reclaim: bool = True) -> bool:
    """One sweep; returns False when another process swept within the last half period.

    Raises SchemaError when the database has another version's schema by now.
    """
    if not _my_turn(store):
        return False
    startable = (_reclaim(store) if reclaim else []) + completion.update_all_dependents(store)
    notify(dict.fromkeys(startable + _unnotified(store)))
    with store.begin() as session:
        idempotency.delete_expired(session)
        sessions.delete_expired(session)
        throttles.delete_forgotten(session)
        workers.delete_lost(session)
        keys = runners.delete_files(session)
    for key in keys:
        store.artifacts.delete(key)
    store.checkpoint()
    return True


def _my_turn(store: Store) -> bool:
    """Compare-and-set of the time of the last sweep, in one statement: works alike on SQLite and Postgres."""
    with store.begin() as session:
        migrate.refuse_skew(session)
        time = now(session)
        turn = upsert(session, SweepRow).values(id=1, swept_at=time)
        turn = turn.on_conflict_do_update(
            index_elements=["id"],
            set_={"swept_at": time},
            where=SweepRow.swept_at <= time - timedelta(seconds=store.settings.sweep_seconds / 2),
        )
        return session.execute(turn.returning(SweepRow.id)).one_or_none() is not None


def _reclaim(store: Store) -> list[str]:
    """Takes back attempts whose lease ran out, each in a transaction of its own; returns the ids of startable jobs."""
    with store.read() as session:
        expired = select(JobRow.id, JobRow.attempt, JobRow.worker_id).where(
            JobRow.state.in_([str(state) for state in OWNED]), JobRow.lease_until < now(session)
        )
        lost = [Fence(job_id, attempt, worker_id or "") for job_id, attempt, worker_id in session.execute(expired)]
    startable: list[str] = []
    for fence in lost:
        with store.begin(Actor.SWEEPER) as session:
            startable += _give_back(session, fence, store.settings.max_attempts)
    return startable


def _give_back(session: Session, fence: Fence, max_attempts: int) -> list[str]:
    row = jobs.get(session, fence.job_id)
    if row.lease_until is None or row.lease_until >= now(session):
        return []  # it came back to life
    logger.warning("job %s: the lease of attempt %s ran out", fence.job_id, fence.attempt)
    try:
        match row.state:
            case JobState.CANCELLING:
                return completion.end(
                    session, row.id, JobState.CANCELLED, fence=fence, stop_reason=StopReason.CANCELLED
                )
            case JobState.PAUSING:
                transitions.finish_pause(session, row, fence)
                return []
            case _ if row.lost_attempts + 1 >= max_attempts:
                error = WorkerLostError(
                    f"the worker was lost in {row.lost_attempts + 1} attempts; the last checkpoint is kept"
                )
                return completion.end(session, row.id, JobState.FAILED, fence=fence, error=error.problem())
            case _:
                return [row.id] if completion.requeue(session, fence, lost=True) else []
    except LostLeaseError:
        return []  # it ended meanwhile


def _unnotified(store: Store) -> list[str]:
    """Jobs that could start and whose message was never sent; and where a worker is idle, those it may have missed."""
    with store.read() as session:
        idle, newest = _idle_slots(session, store.settings.lease_seconds)
        old = max(now(session) - timedelta(seconds=store.settings.renotify_seconds), newest)
        ready = select(JobRow.id).where(attempts.claimable(session)).order_by(JobRow.priority.desc(), JobRow.id)
        never = session.execute(ready.where(JobRow.notified_at.is_(None)).limit(NOTIFY_AT_MOST)).scalars().all()
        again = session.execute(ready.where(JobRow.notified_at < old).limit(idle)).scalars().all()
    return [*never, *again]


def _idle_slots(session: Session, within_seconds: float) -> tuple[int, datetime]:
    """How many jobs the living workers could take at once, and when the newest of those workers started.

    A message that is older was sent before it listened; more messages than idle slots would only pile up.
    """
    idle, newest = 0, datetime.min.replace(tzinfo=UTC)
    for worker in workers.alive(session, within_seconds):
        free = worker.slots - len(workers.jobs_of(session, worker.id))
        if free > 0 and not worker.draining:
            idle, newest = idle + free, max(newest, worker.started_at)
    return min(idle, NOTIFY_AT_MOST), newest


def run_forever(store: Store, notify: Callable[[Iterable[str]], object], stop: threading.Event) -> None:
    """Sweeps at once and then periodically until `stop` is set; a fault is logged and tried again.

    While the database was away no worker could renew its leases. The first sweep afterwards leaves those that ran out
    to the workers, which give their attempts back: that does not count as a lost attempt.
    """
    turns, was_away = 0, False
    while True:
        try:
            reclaim, was_away = not was_away, False
            if sweep(store, notify, reclaim=reclaim):
                turns += 1
                if turns % RETAIN_EVERY == 0:
                    retain(store)
                if turns % COLLECT_EVERY == 0:
                    collect(store)
        except SchemaError as error:
            logger.warning("no sweep: %s", error)
        except Exception as error:
            was_away = isinstance(error, DBAPIError | PoolTimeoutError)
            logger.exception("the sweep failed; the next one tries again")
        if stop.wait(store.settings.sweep_seconds):
            return
