"""Every change of a job's state but the claim: a compare-and-set that leaves an event; a search's runners follow it."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import update
from sqlalchemy.orm import Session

from service.errors import Problem, StateError
from service.specs.training import LimitsSpec
from service.states import OWNED, TRANSITIONS, Actor, JobState, StopReason, is_terminal
from service.store import attempts, events, jobs
from service.store.attempts import Fence
from service.store.events import NewEvent
from service.store.session import now
from service.store.tables import JobRow

REQUESTED = "requested"


def move(
    session: Session,
    job_id: str,
    target: JobState,
    *,
    fence: Fence | None = None,
    error: Problem | None = None,
    stop_reason: StopReason | None = None,
    reason: str | None = None,
    **values: Any,
) -> bool:
    """Moves the job to `target` if its state allows it (and the fence, if given, still holds).

    The event that it leaves names who acts, and why: `stop_reason`, else `reason`, else the error's code.
    """
    sources = [str(state) for state, targets in TRANSITIONS.items() if target in targets]
    details: dict[str, Any] = {"actor": Actor.LIMIT} if stop_reason is StopReason.LIMIT else {}
    details |= {"error": error.model_dump(mode="json")} if error else {}
    if target is JobState.QUEUED:
        values = {"held_until": None, "hold_reason": None} | values
    if target not in OWNED:
        values |= {"worker_id": None, "lease_until": None}
    if is_terminal(target):
        values |= {"finished_at": now(session), "phase": None}
    if error is not None:
        values["error"] = details["error"]
    if stop_reason is not None or target in (JobState.QUEUED, JobState.FAILED):
        values["stop_reason"] = stop_reason
    moved = session.execute(
        update(JobRow)
        .where(attempts.is_current(fence) if fence else JobRow.id == job_id, JobRow.state.in_(sources))
        .values(state=target, **values)
        .returning(JobRow.attempt, JobRow.kind),
        execution_options={"synchronize_session": False},
    ).one_or_none()
    if moved is None:
        return False
    attempt, kind = moved
    why = stop_reason or reason or (error.code if error else None)
    change = events.state_change(session, target, why, attempt=attempt, **details)
    end = [NewEvent("end", {"state": target})] if is_terminal(target) else []
    events.append(session, job_id, [change, *end])
    session.expire_all()
    if kind == "tune":
        _move_runners(session, job_id, target)
    return True


def request_cancel(session: Session, job_id: str, reason: str = REQUESTED) -> JobRow:
    """A waiting or paused job is cancelled at once, a running one is asked to stop; StateError when it has ended."""
    return _request(session, job_id, reason, JobState.CANCELLING, JobState.CANCELLED)


def request_pause(session: Session, job_id: str, reason: str = REQUESTED) -> JobRow:
    """A waiting job is paused at once, a running one after a checkpoint."""
    return _request(session, job_id, reason, JobState.PAUSING, JobState.PAUSED)


def pause_at_limit(session: Session, fence: Fence) -> None:
    """A running job that has used its `limits.seconds` up is to be paused; nothing changes when it ends already."""
    move(session, fence.job_id, JobState.PAUSING, fence=fence, stop_reason=StopReason.LIMIT)


def finish_pause(session: Session, row: JobRow, fence: Fence) -> None:
    """A pausing job has stopped: it is paused, for the reason for which that was asked."""
    reason = StopReason.LIMIT if row.stop_reason == StopReason.LIMIT else StopReason.PAUSED
    move(session, row.id, JobState.PAUSED, fence=fence, stop_reason=reason)


def resume(session: Session, job_id: str, limits: LimitsSpec | None = None) -> JobRow:
    """A paused job waits for a worker again and goes on from its last checkpoint.

    The fields that `limits` sets hold from now on; StateError when the job has run for longer than they allow.
    """
    row = jobs.lock(session, job_id)
    if row.state != JobState.PAUSED:
        raise StateError(f"the job is {row.state}; only a paused job can be resumed")
    current = attempts.limits_of(row.spec, row.limits)
    if limits is not None:
        current = current.replace(**limits.model_dump(exclude_unset=True))
        row.limits = current.model_dump(mode="json")
    if current.seconds is not None and row.running_seconds >= current.seconds:
        raise StateError(
            f"the job has run for {row.running_seconds:.0f} s, and its `limits.seconds` is {current.seconds:g}: "
            'resume it with a larger one, as in {"limits": {"seconds": 3600}}, or with null for none'
        )
    session.flush()
    _queue(session, job_id, REQUESTED)
    return jobs.get(session, job_id)


def _request(session: Session, job_id: str, reason: str, requested: JobState, done: JobState) -> JobRow:
    row = jobs.lock(session, job_id)
    state = JobState(row.state)
    if state == requested:
        return row
    target, stop_reason = (requested, None) if state in OWNED else (done, StopReason(done))
    if not move(session, job_id, target, stop_reason=stop_reason, reason=reason):
        raise StateError(f"the job is {state} and cannot be {done}")
    return jobs.get(session, job_id)


def _queue(session: Session, job_id: str, reason: str) -> None:
    move(session, job_id, JobState.QUEUED, reason=reason, notified_at=None)


def _move_runners(session: Session, job_id: str, target: JobState) -> None:
    """Moves the runners of a search with it; one that is queued again needs a slot that they may hold."""
    sources = {JobState.QUEUED, JobState.RUNNING}
    move_runner: Callable[[Session, str, str], object]
    if is_terminal(target) or target is JobState.CANCELLING:
        sources, move_runner = {state for state in JobState if not is_terminal(state)}, request_cancel
    elif target in (JobState.PAUSING, JobState.PAUSED):
        move_runner = request_pause
    elif target is JobState.QUEUED:
        sources, move_runner = {JobState.RUNNING}, _queue
    else:
        return
    query = jobs.runners_of(job_id).where(JobRow.state.in_([str(state) for state in sources]))
    for runner_id in session.execute(query.with_for_update()).scalars().all():
        move_runner(session, runner_id, f"its search is {target}")
