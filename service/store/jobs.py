"""Jobs: made, claimed, moved from state to state, ended. Every change of state is a compare-and-set."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, delete, exists, func, select, update
from sqlalchemy.orm import Session, aliased

from service.errors import InUseError, NotFoundError, Problem, StateError
from service.specs import INTERNAL_KINDS, STORED_SPEC, AnyStoredSpec
from service.states import OWNED, TERMINAL, TRANSITIONS, JobState, Relation, StopReason, is_terminal
from service.store import dependencies, events
from service.store.events import NewEvent
from service.store.ids import new_id
from service.store.session import now
from service.store.tables import DependencyRow, JobRow, LabelRow


class AttemptStatus(StrEnum):
    """What the database says about an attempt."""

    CURRENT = "current"
    CANCEL_REQUESTED = "cancel-requested"
    PAUSE_REQUESTED = "pause-requested"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Fence:
    """Proof of one attempt: what does not carry the current one writes nothing."""

    job_id: str
    attempt: int
    worker_id: str


@dataclass(frozen=True, slots=True)
class Parent:
    """The job that a new one belongs to or is made from."""

    job_id: str
    relation: Relation


@dataclass(frozen=True, slots=True)
class Claim:
    """An attempt that a worker has won."""

    fence: Fence
    spec: AnyStoredSpec
    dataset_id: str | None


class LostLeaseError(Exception):
    """The attempt is no longer the job's current one; nothing was written."""


def create(
    session: Session,
    spec: AnyStoredSpec,
    *,
    dataset_id: str | None = None,
    parent: Parent | None = None,
    needs: Sequence[tuple[str, str]] = (),
) -> JobRow:
    """Adds a job as `queued`; `needs` are (job id, role) of jobs that must end well before it may start.

    Raises NotFoundError when a needed job is not there.
    """
    roles = dict(needs)
    dependencies.lock_needed(session, roles)
    row = JobRow(
        id=new_id(),
        kind=spec.kind,
        name=spec.name,
        state=JobState.QUEUED,
        progress=0.0,
        priority=spec.priority,
        labels=dict(spec.labels),
        spec=spec.model_dump(mode="json"),
        dataset_id=dataset_id,
        parent_id=parent.job_id if parent else None,
        relation=parent.relation if parent else None,
        attempt=0,
        lost_attempts=0,
        next_seq=1,
        created_at=now(session),
    )
    session.add(row)
    session.flush()
    _set_labels(session, row.id, row.labels)
    dependencies.add(session, row.id, roles)
    events.append(session, row.id, [NewEvent("state", {"state": JobState.QUEUED})])
    return row


def _set_labels(session: Session, job_id: str, labels: dict[str, Any]) -> None:
    session.execute(delete(LabelRow).where(LabelRow.job_id == job_id))
    session.add_all(LabelRow(job_id=job_id, key=key, value=value) for key, value in labels.items())


def get(session: Session, job_id: str) -> JobRow:
    """The job; NotFoundError when there is none."""
    row = session.get(JobRow, job_id)
    if row is None:
        raise NotFoundError(f"no job has the id `{job_id}`")
    return row


def relabel(session: Session, job_id: str, **changes: Any) -> JobRow:
    """Changes `name`, `labels` or `priority`."""
    row = get(session, job_id)
    for field, value in changes.items():
        setattr(row, field, value)
    if "labels" in changes:
        _set_labels(session, job_id, changes["labels"])
    session.flush()
    return row


def claimable() -> ColumnElement[bool]:
    """Queued, and every job it needs has succeeded."""
    need = aliased(JobRow)
    unmet = exists().where(
        DependencyRow.job_id == JobRow.id,
        ~exists().where(need.id == DependencyRow.needs_job_id, need.state == JobState.SUCCEEDED),
    )
    return and_(JobRow.state == JobState.QUEUED, ~unmet)


def claim(session: Session, job_id: str, worker_id: str, lease_seconds: float) -> Claim | None:
    """Wins the job's next attempt, or returns None: someone else has it, it waits for others, or it is not queued."""
    time = now(session)
    won = session.execute(
        update(JobRow)
        .where(JobRow.id == job_id, claimable())
        .values(
            state=JobState.RUNNING,
            attempt=JobRow.attempt + 1,
            worker_id=worker_id,
            lease_until=time + timedelta(seconds=lease_seconds),
            started_at=func.coalesce(JobRow.started_at, time),
            phase="starting",
        )
        .returning(JobRow.attempt, JobRow.spec, JobRow.dataset_id),
        execution_options={"synchronize_session": False},
    ).one_or_none()
    if won is None:
        return None
    attempt, spec, dataset_id = won
    events.append(
        session, job_id, [NewEvent("state", {"state": JobState.RUNNING, "attempt": attempt, "worker": worker_id})]
    )
    return Claim(Fence(job_id, attempt, worker_id), STORED_SPEC.validate_python(spec), dataset_id)


def _fenced(fence: Fence) -> ColumnElement[bool]:
    return and_(
        JobRow.id == fence.job_id,
        JobRow.attempt == fence.attempt,
        JobRow.worker_id == fence.worker_id,
        JobRow.state.in_([str(state) for state in OWNED]),
    )


def hold(session: Session, fence: Fence, **values: Any) -> None:
    """Locks the job's row for the current attempt and sets columns; LostLeaseError when it is someone else's."""
    held = session.execute(
        update(JobRow).where(_fenced(fence)).values(worker_id=fence.worker_id, **values).returning(JobRow.id),
        execution_options={"synchronize_session": False},
    ).one_or_none()
    if held is None:
        raise LostLeaseError(fence.job_id)


def heartbeat(session: Session, fence: Fence, lease_seconds: float) -> AttemptStatus:
    """Renews the lease; returns the attempt's status."""
    state = session.execute(
        update(JobRow)
        .where(_fenced(fence))
        .values(lease_until=now(session) + timedelta(seconds=lease_seconds))
        .returning(JobRow.state),
        execution_options={"synchronize_session": False},
    ).scalar_one_or_none()
    return _status_in(state)


def attempt_status(session: Session, fence: Fence) -> AttemptStatus:
    """The attempt's status: one query by primary key."""
    return _status_in(session.execute(select(JobRow.state).where(_fenced(fence))).scalar_one_or_none())


def _status_in(state: str | None) -> AttemptStatus:
    match state:
        case None:
            return AttemptStatus.LOST
        case JobState.CANCELLING:
            return AttemptStatus.CANCEL_REQUESTED
        case JobState.PAUSING:
            return AttemptStatus.PAUSE_REQUESTED
        case _:
            return AttemptStatus.CURRENT


def transition(
    session: Session,
    job_id: str,
    target: JobState,
    *,
    fence: Fence | None = None,
    error: Problem | None = None,
    stop_reason: StopReason | None = None,
    **values: Any,
) -> bool:
    """Moves the job to `target` if its state allows it (and the fence, if given, still holds); leaves an event."""
    sources = [str(state) for state, targets in TRANSITIONS.items() if target in targets]
    held = _fenced(fence) if fence else JobRow.id == job_id
    if target not in OWNED:
        values |= {"worker_id": None, "lease_until": None}
    if is_terminal(target):
        values |= {"finished_at": now(session), "phase": None}
    if error is not None:
        values["error"] = error.model_dump(mode="json")
    if stop_reason is not None:
        values["stop_reason"] = stop_reason
    moved = session.execute(
        update(JobRow)
        .where(held, JobRow.state.in_(sources))
        .values(state=target, **values)
        .returning(JobRow.attempt, JobRow.kind),
        execution_options={"synchronize_session": False},
    ).one_or_none()
    if moved is None:
        return False
    data: dict[str, Any] = {"state": target, "attempt": moved[0]}
    data |= {"reason": stop_reason} if stop_reason else {}
    data |= {"error": error.model_dump(mode="json")} if error else {}
    events.append(session, job_id, [NewEvent("state", data)])
    if is_terminal(target):
        events.append(session, job_id, [NewEvent("end", {"state": target})])
    session.expire_all()
    if moved[1] == "tune":
        _cascade_to_runners(session, job_id, target)
    return True


def _cascade_to_runners(session: Session, job_id: str, target: JobState) -> None:
    """Moves the runners of a search with it; one that is queued again needs a slot that they may hold."""
    sources = {JobState.QUEUED, JobState.RUNNING}
    move: Callable[[Session, str], object]
    if is_terminal(target) or target is JobState.CANCELLING:
        sources, move = {state for state in JobState if not is_terminal(state)}, request_cancel
    elif target in (JobState.PAUSING, JobState.PAUSED):
        move = request_pause
    elif target is JobState.QUEUED:
        sources, move = {JobState.RUNNING}, _requeue
    else:
        return
    query = runners_of(job_id).where(JobRow.state.in_([str(state) for state in sources]))
    for runner_id in session.execute(query.with_for_update()).scalars().all():
        move(session, runner_id)


def _requeue(session: Session, job_id: str) -> None:
    """Queues a running job again; its worker's lease is lost."""
    transition(session, job_id, JobState.QUEUED, notified_at=None)


def runners_of(job_id: str) -> Select[str]:
    """Ids of the jobs that run a search's trials beside it."""
    return select(JobRow.id).where(JobRow.parent_id == job_id, JobRow.kind == "tune-runner")


def request_cancel(session: Session, job_id: str) -> JobRow:
    """A waiting or paused job is cancelled at once, a running one is asked to stop; StateError when it has ended."""
    return _request(session, job_id, "cancelled", JobState.CANCELLING, JobState.CANCELLED)


def request_pause(session: Session, job_id: str) -> JobRow:
    """A waiting job is paused at once, a running one after a checkpoint."""
    return _request(session, job_id, "paused", JobState.PAUSING, JobState.PAUSED)


def resume(session: Session, job_id: str) -> JobRow:
    """A paused job waits for a worker again and goes on from its last checkpoint."""
    row = _lock(session, job_id)
    if row.state != JobState.PAUSED:
        raise StateError(f"the job is {row.state}; only a paused job can be resumed")
    transition(session, job_id, JobState.QUEUED, notified_at=None)
    return get(session, job_id)


def _request(session: Session, job_id: str, word: str, asked: JobState, done: JobState) -> JobRow:
    row = _lock(session, job_id)
    state = JobState(row.state)
    if state == asked:
        return row
    target, reason = (asked, None) if state in OWNED else (done, StopReason(done))
    if not transition(session, job_id, target, stop_reason=reason):
        raise StateError(f"the job is {state} and cannot be {word}")
    return get(session, job_id)


def _lock(session: Session, job_id: str) -> JobRow:
    """The job as it is now, and nobody else changes it before this transaction ends."""
    row = session.get(JobRow, job_id, with_for_update=True, populate_existing=True)
    return row or get(session, job_id)


def remove(session: Session, job_id: str) -> list[str]:
    """Deletes the row of a job that has ended (or waits); what hangs on it goes too, a search's runners included.

    Returns the ids of the removed jobs: the caller deletes their files.
    """
    row = _lock(session, job_id)
    if JobState(row.state) not in TERMINAL | {JobState.QUEUED, JobState.PAUSED}:
        raise StateError(f"the job is {row.state}; cancel it first")
    if users := dependencies.users(session, job_id):
        raise InUseError("other jobs still need this one: " + ", ".join(users[:10]))
    removed = [row.id, *session.execute(runners_of(row.id)).scalars()]
    session.execute(delete(JobRow).where(JobRow.id.in_(removed)))
    return removed


def list_page(
    session: Session,
    *,
    state: str | None = None,
    kind: str | None = None,
    label: str | None = None,
    dataset: str | None = None,
    parent: str | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> tuple[list[JobRow], str | None]:
    """Newest first; `label` is `key` or `key=value`; the cursor is the last id.

    Internal jobs are hidden unless their kind is asked for.
    """
    equal = {JobRow.state: state, JobRow.kind: kind, JobRow.dataset_id: dataset, JobRow.parent_id: parent}
    query = _newest_first(label, cursor).where(
        *(column == value for column, value in equal.items() if value is not None)
    )
    if kind is None:
        query = query.where(JobRow.kind.not_in(INTERNAL_KINDS))
    rows = list(session.execute(query.limit(limit + 1)).scalars())
    return rows[:limit], rows[limit - 1].id if len(rows) > limit else None


def _newest_first(label: str | None, cursor: str | None) -> Select[JobRow]:
    """Jobs below the cursor, newest first; with a label, the labels' own index gives the order."""
    query, order = select(JobRow), JobRow.id
    if label is not None:
        key, has_value, value = label.partition("=")
        query, order = query.join(LabelRow, LabelRow.job_id == JobRow.id).where(LabelRow.key == key), LabelRow.job_id
        query = query.where(LabelRow.value == value) if has_value else query
    if cursor is not None:
        query = query.where(order < cursor)
    return query.order_by(order.desc())


def startable(session: Session, limit: int = 1000) -> list[JobRow]:
    """Jobs that can start now, in the order in which they will: priority, then age."""
    query = select(JobRow).where(claimable()).order_by(JobRow.priority.desc(), JobRow.id).limit(limit)
    return list(session.execute(query).scalars())
