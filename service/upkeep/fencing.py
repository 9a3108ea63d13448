"""What a restore does to attempts: whatever a worker from before it still holds, it writes nothing any more."""

from sqlalchemy import Connection, delete, select, text
from sqlalchemy.orm import Session

from service.jobs import completion, transitions
from service.states import OWNED, TERMINAL, Actor, JobState, StopReason
from service.store import events
from service.store.attempts import Fence
from service.store.events import NewEvent
from service.store.session import Store
from service.store.tables import JobRow, SessionRow, WorkerRow

JUMP = 10_000
"""Attempts that no job makes between a backup and its restore."""


def raise_attempts(connection: Connection) -> None:
    """Raises the fencing tokens of jobs that have not ended past any that was given out after the backup.

    In the transaction that puts the copy in the database's place, whatever schema it has.
    """
    ended = ", ".join(f"'{state}'" for state in TERMINAL)
    connection.execute(text(f"UPDATE jobs SET attempt = attempt + {JUMP} WHERE state NOT IN ({ended})"))


def end_leases(store: Store) -> None:
    """Takes running jobs from their workers: they wait again and go on from their last checkpoints.

    No worker is known any more, and no browser is signed in.
    """
    with store.begin(Actor.RESTORE) as session:
        owned = select(JobRow).where(JobRow.state.in_([str(state) for state in OWNED]))
        for row in session.execute(owned.order_by(JobRow.id)).scalars().all():
            _take_back(session, row)
        session.execute(delete(WorkerRow))
        session.execute(delete(SessionRow))


def _take_back(session: Session, row: JobRow) -> None:
    fence = Fence(row.id, row.attempt, row.worker_id or "")
    message = "the service was restored from a backup while this job ran"
    events.append(session, row.id, [NewEvent("log", {"level": "warning", "message": message}, "warning")])
    match row.state:
        case JobState.CANCELLING:
            completion.end(session, row.id, JobState.CANCELLED, fence=fence, stop_reason=StopReason.CANCELLED)
        case JobState.PAUSING:
            transitions.finish_pause(session, row, fence)
        case _:
            completion.requeue(session, fence, lost=False)
