"""The append-only, gap-free, numbered events of a job."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from service.reports.resolution import Advice
from service.states import Actor, JobState
from service.store.session import actor_of, now
from service.store.tables import EventRow, JobRow


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event that has no number yet."""

    type: str
    data: dict[str, Any]
    level: str | None = None


def append(session: Session, job_id: str, events: Sequence[NewEvent]) -> int:
    """Adds events in order and returns the last number; numbers come with the transaction, so none is missing."""
    if not events:
        return 0
    take_numbers = (
        update(JobRow)
        .where(JobRow.id == job_id)
        .values(next_seq=JobRow.next_seq + len(events))
        .returning(JobRow.next_seq)
    )
    following = session.execute(take_numbers, execution_options={"synchronize_session": False}).scalar_one()
    time, first = now(session), following - len(events)
    session.execute(
        insert(EventRow),
        [
            {
                "job_id": job_id,
                "seq": first + offset,
                "time": time,
                "type": event.type,
                "level": event.level,
                "data": event.data,
            }
            for offset, event in enumerate(events)
        ],
    )
    return following - 1


def state_change(session: Session, state: JobState, reason: str | None, **details: Any) -> NewEvent:
    """A change of state, with who made it (unless `details` says who) and why."""
    actor = {"actor": actor_of(session) or Actor.ANYONE}
    return NewEvent("state", {"state": state} | actor | {"reason": reason} | details)


def append_warnings(session: Session, job_id: str, advice: Sequence[Advice]) -> None:
    """Adds advice on a job's spec or data as log lines."""
    lines = [f"{warning.pointer}: {warning.detail}" for warning in advice]
    append(session, job_id, [NewEvent("log", {"message": line}, "warning") for line in lines])


def latest(session: Session, job_ids: Iterable[str]) -> dict[str, int]:
    """The number of each job's last event."""
    query = select(JobRow.id, JobRow.next_seq - 1).where(JobRow.id.in_(list(job_ids)))
    return dict(session.execute(query).all())


def last_of_type(session: Session, job_ids: Iterable[str], type: str) -> dict[str, EventRow]:
    """Each of these jobs that has an event of that type -> the last one."""
    query = select(EventRow).where(EventRow.job_id.in_(list(job_ids)), EventRow.type == type).order_by(EventRow.seq)
    return {row.job_id: row for row in session.execute(query).scalars()}


def after(
    session: Session, job_id: str, seq: int, limit: int = 1000, *, type: str | None = None, levels: Sequence[str] = ()
) -> list[EventRow]:
    """Up to `limit` events numbered above `seq`, in order."""
    query = select(EventRow).where(EventRow.job_id == job_id, EventRow.seq > seq)
    if type is not None:
        query = query.where(EventRow.type == type)
    if levels:
        query = query.where(EventRow.level.in_(levels))
    return list(session.execute(query.order_by(EventRow.seq).limit(limit)).scalars())
