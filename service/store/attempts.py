"""Attempts at jobs: claimed by one worker, fenced against every other, renewed until they end.

Whatever an attempt writes goes through its fence: a worker that was thought dead cannot write over its successor.
"""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, and_, exists, func, or_, select, true, update
from sqlalchemy.orm import Session, aliased

from service.specs import STORED_SPEC, AnyStoredSpec
from service.specs.training import LimitsSpec
from service.states import OWNED, JobState
from service.store import events, migrate
from service.store.session import now
from service.store.tables import DependencyRow, JobRow


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
class Claim:
    """An attempt that a worker has won."""

    fence: Fence
    spec: AnyStoredSpec
    dataset_id: str | None
    limits: LimitsSpec
    running_seconds: float
    """Of the attempts before this one."""


class LostLeaseError(Exception):
    """The attempt is no longer the job's current one; nothing was written."""


_NEEDED = aliased(JobRow)
_HAS_UNMET_NEED = exists().where(
    DependencyRow.job_id == JobRow.id,
    ~exists().where(_NEEDED.id == DependencyRow.needs_job_id, _NEEDED.state == JobState.SUCCEEDED),
)
"""Built once: that takes longer than the query."""
_DEVICE = func.coalesce(JobRow.spec["train"]["device"].as_string(), JobRow.spec["device"].as_string(), "")
"""Where a spec says on which device it runs; a search says it in its `train`."""


def claimable(session: Session, *, gpu: bool = True) -> ColumnElement[bool]:
    """Queued and not held, every job it needs has succeeded, and it asks for no GPU where the worker has none."""
    is_free = or_(JobRow.held_until.is_(None), JobRow.held_until <= now(session))
    can_run = true() if gpu else _DEVICE != "cuda"
    return and_(JobRow.state == JobState.QUEUED, is_free, ~_HAS_UNMET_NEED, can_run)


def startable(session: Session, limit: int = 1000, *, gpu: bool = True) -> list[JobRow]:
    """Jobs that can start now, in the order in which they will: priority, then age."""
    query = select(JobRow).where(claimable(session, gpu=gpu)).order_by(JobRow.priority.desc(), JobRow.id).limit(limit)
    return list(session.execute(query).scalars())


def claim(session: Session, job_id: str, worker_id: str, lease_seconds: float, *, gpu: bool = True) -> Claim | None:
    """Wins the job's next attempt, or returns None: someone else has it, it waits for others, or it is not queued.

    A worker without a GPU (`gpu` is false) leaves jobs that ask for one to others.

    Raises SchemaError when the database has another version's schema by now.
    """
    migrate.refuse_skew(session)
    time = now(session)
    won = session.execute(
        update(JobRow)
        .where(JobRow.id == job_id, claimable(session, gpu=gpu))
        .values(
            state=JobState.RUNNING,
            attempt=JobRow.attempt + 1,
            worker_id=worker_id,
            lease_until=time + timedelta(seconds=lease_seconds),
            started_at=func.coalesce(JobRow.started_at, time),
            phase="starting",
        )
        .returning(JobRow.attempt, JobRow.spec, JobRow.dataset_id, JobRow.limits, JobRow.running_seconds),
        execution_options={"synchronize_session": False},
    ).one_or_none()
    if won is None:
        return None
    attempt, spec, dataset_id, resumed_with, running_seconds = won
    details = {"attempt": attempt, "worker": worker_id}
    events.append(session, job_id, [events.state_change(session, JobState.RUNNING, "claimed", **details)])
    return Claim(
        fence=Fence(job_id, attempt, worker_id),
        spec=STORED_SPEC.validate_python(spec),
        dataset_id=dataset_id,
        limits=limits_of(spec, resumed_with),
        running_seconds=running_seconds,
    )


def limits_of(spec: dict[str, Any], resumed_with: dict[str, Any] | None) -> LimitsSpec:
    """The limits that hold for a job: those of its last resume that set any, else those of its spec."""
    return LimitsSpec.model_validate(resumed_with or spec.get("limits") or {})


def is_current(fence: Fence) -> ColumnElement[bool]:
    """The job's row, if the attempt is the job's current one."""
    return and_(
        JobRow.id == fence.job_id,
        JobRow.attempt == fence.attempt,
        JobRow.worker_id == fence.worker_id,
        JobRow.state.in_([str(state) for state in OWNED]),
    )


def lock(session: Session, fence: Fence, **values: Any) -> None:
    """Locks the job's row for the current attempt and sets columns; LostLeaseError when it is someone else's."""
    held = session.execute(
        update(JobRow).where(is_current(fence)).values(worker_id=fence.worker_id, **values).returning(JobRow.id),
        execution_options={"synchronize_session": False},
    ).one_or_none()
    if held is None:
        raise LostLeaseError(fence.job_id)


def heartbeat(
    session: Session, fence: Fence, lease_seconds: float, running_seconds: float | None = None
) -> AttemptStatus:
    """Renews the lease, and writes how long the job has run in all its attempts; returns the attempt's status."""
    ran = {} if running_seconds is None else {"running_seconds": running_seconds}
    state = session.execute(
        update(JobRow)
        .where(is_current(fence))
        .values(lease_until=now(session) + timedelta(seconds=lease_seconds), **ran)
        .returning(JobRow.state),
        execution_options={"synchronize_session": False},
    ).scalar_one_or_none()
    return _status_in(state)


def status(session: Session, fence: Fence) -> AttemptStatus:
    """The attempt's status: one query by primary key."""
    return _status_in(session.execute(select(JobRow.state).where(is_current(fence))).scalar_one_or_none())


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
