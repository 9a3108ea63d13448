"""The end of a job, and of everything that waited for it: dependents can start or fail, its dataset fails with it."""

from datetime import timedelta
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.orm import Session, aliased

from service.datasets import imports
from service.errors import GateError, Problem, cut
from service.jobs import transitions
from service.reports.names import ReportName
from service.states import TERMINAL, Actor, DatasetState, JobState, StopReason
from service.store import attempts, dependencies, events, jobs, reports
from service.store.attempts import Fence
from service.store.events import NewEvent
from service.store.session import Store, now
from service.store.tables import DatasetRow, DependencyRow, JobRow

LONGEST_HOLD_SECONDS = 600.0
UNSUCCESSFUL: tuple[JobState, ...] = (JobState.FAILED, JobState.CANCELLED)


def end(
    session: Session,
    job_id: str,
    target: JobState,
    *,
    fence: Fence | None = None,
    error: Problem | None = None,
    stop_reason: StopReason | None = None,
) -> list[str]:
    """Ends a job and updates its dependents; returns the ids of jobs that can start now.

    Raises LostLeaseError when the fence no longer holds.
    """
    progress: dict[str, Any] = {"progress": 1.0} if target is JobState.SUCCEEDED else {}
    if not transitions.move(session, job_id, target, fence=fence, error=error, stop_reason=stop_reason, **progress):
        raise attempts.LostLeaseError(job_id)
    return update_dependents(session, job_id)


def update_dependents(session: Session, job_id: str) -> list[str]:
    """Unblocks or fails the dependents of a job that has ended, transitively; returns the ids of those that can start.

    The dataset of an import that has ended without success fails too.
    """
    startable: list[str] = []
    ended = [job_id]
    for ended_id in ended:
        job = jobs.get(session, ended_id)
        if job.kind == "import" and job.state != JobState.SUCCEEDED:
            imports.fail(session, ended_id)
        failure = gate_failure(session, job)
        for dependent in dependencies.waiting_for(session, ended_id):
            if failure is not None:
                if transitions.move(session, dependent.id, JobState.FAILED, error=failure):
                    ended.append(dependent.id)
            elif not dependencies.unmet(session, [dependent.id]):
                dependent.notified_at = None
                startable.append(dependent.id)
    session.flush()
    return startable


def gate_failure(session: Session, needed: JobRow) -> Problem | None:
    """Why a job that needs `needed` can never start; None when it can, or may later."""
    if JobState(needed.state) not in TERMINAL:
        return None
    if needed.state != JobState.SUCCEEDED:
        detail = f": {needed.error['detail']}" if needed.error else ""
        message = f"the {needed.kind} job {needed.id} that this job needs ended {needed.state}{detail}"
        return GateError(message).problem()
    if needed.kind == "sanity":
        report = reports.get(session, needed.id, ReportName.RESULT) or {}
        if not report.get("passed"):
            causes = "; ".join(report.get("causes", [])[:3]) or "it left no result"
            message = f"the sanity job {needed.id} that this job requires did not pass: {causes}"
            return GateError(message).problem()
    return None


def fail_behind_missed_gate(session: Session, job_id: str) -> None:
    """Fails a new job at once when one that it needs has ended without passing."""
    for needed in dependencies.needed(session, job_id):
        if (failure := gate_failure(session, needed)) is not None:
            end(session, job_id, JobState.FAILED, error=failure)
            return


def requeue(session: Session, fence: Fence, *, lost: bool, why: str = "its worker was lost") -> bool:
    """Gives an attempt back: the job waits again and goes on from its last checkpoint; `lost` counts as a try."""
    values: dict[str, Any] = {"lost_attempts": JobRow.lost_attempts + 1} if lost else {}
    reason = why if lost else StopReason.DRAINED
    moved = transitions.move(
        session, fence.job_id, JobState.QUEUED, fence=fence, reason=reason, notified_at=None, **values
    )
    if moved and lost:
        message = f"attempt {fence.attempt} broke off ({why}); another one follows"
        events.append(session, fence.job_id, [NewEvent("log", {"level": "warning", "message": message}, "warning")])
    return moved


def hold(session: Session, fence: Fence, why: str, first_seconds: float) -> None:
    """Gives an attempt back that lacked what every job needs (a disk, the database): it does not count as a try.

    The job waits for `first_seconds`, twice as long after each further hold in a row, and for 10 minutes at most.
    """
    holds = jobs.get(session, fence.job_id).holds
    seconds = min(first_seconds * 2**holds, LONGEST_HOLD_SECONDS)
    until, reason = now(session) + timedelta(seconds=seconds), cut(why, 300)
    held: dict[str, Any] = {"held_until": until, "hold_reason": reason, "holds": holds + 1}
    if transitions.move(session, fence.job_id, JobState.QUEUED, fence=fence, reason=reason, notified_at=None, **held):
        message = f"attempt {fence.attempt} is given back: {why}; it is tried again in {seconds:g} s"
        events.append(session, fence.job_id, [NewEvent("log", {"level": "warning", "message": message}, "warning")])


def update_all_dependents(store: Store) -> list[str]:
    """Updates what waits for jobs that ended without success, or are gone, when a process died before it could.

    Returns the ids of jobs that can start now.
    """
    needed = aliased(JobRow)
    query = (
        select(DependencyRow.needs_job_id, JobRow.id, needed.id)
        .join(JobRow, JobRow.id == DependencyRow.job_id)
        .outerjoin(needed, needed.id == DependencyRow.needs_job_id)
        .where(JobRow.state.in_([JobState.QUEUED, JobState.PAUSED]))
        .where(or_(needed.id.is_(None), needed.state.in_(UNSUCCESSFUL)))
    )
    with store.read() as session:
        rows = session.execute(query).all()
    startable: list[str] = []
    for needed_id, job_id, present_id in rows:
        with store.begin(Actor.SWEEPER) as session:
            if present_id is None:
                error = GateError(f"the job {needed_id} that this job needs was deleted").problem()
                transitions.move(session, job_id, JobState.FAILED, error=error)
            startable += update_dependents(session, job_id if present_id is None else needed_id)
    with store.begin() as session:
        _fail_datasets(session)
    return startable


def _fail_datasets(session: Session) -> None:
    """A dataset whose import has ended without success, or is gone, does not stay `importing`."""
    importer = aliased(JobRow)
    query = (
        select(DatasetRow.job_id)
        .outerjoin(importer, importer.id == DatasetRow.job_id)
        .where(DatasetRow.state == DatasetState.IMPORTING)
        .where(or_(importer.id.is_(None), importer.state.in_(UNSUCCESSFUL)))
    )
    for job_id in session.execute(query).scalars().all():
        imports.fail(session, job_id)
