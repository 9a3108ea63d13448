"""What happens to others when a job ends: waiting jobs are set free or fail, a dataset becomes ready or fails."""

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from service.errors import GateError, Problem
from service.states import TERMINAL, DatasetState, JobState, StopReason
from service.store import events, jobs, reports
from service.store.events import NewEvent
from service.store.jobs import Fence
from service.store.tables import DatasetRow, DependencyRow, JobRow


def end(
    session: Session,
    job_id: str,
    target: JobState,
    *,
    fence: Fence | None = None,
    error: Problem | None = None,
    stop_reason: StopReason | None = None,
) -> list[str]:
    """Ends a job and settles everyone who waited for it; returns the ids of jobs that can start now.

    Raises LostLeaseError when the fence no longer holds.
    """
    progress = {"progress": 1.0} if target is JobState.SUCCEEDED else {}
    if not jobs.transition(session, job_id, target, fence=fence, error=error, stop_reason=stop_reason, **progress):
        raise jobs.LostLeaseError(job_id)
    return settle(session, job_id)


def settle(session: Session, job_id: str) -> list[str]:
    """Looks at the jobs that waited for one that has ended; those that cannot start any more end, and theirs too."""
    free: list[str] = []
    ended = [job_id]
    for each in ended:
        needed = jobs.get(session, each)
        if needed.kind == "import" and needed.state != JobState.SUCCEEDED:
            fail_dataset(session, each)
        reason = shut_gate(session, needed)
        for row in _waiting_for(session, each):
            if reason is not None:
                if jobs.transition(session, row.id, JobState.FAILED, error=GateError(reason).problem()):
                    ended.append(row.id)
            elif not jobs.unmet_needs(session, row.id):
                row.notified_at = None
                free.append(row.id)
    session.flush()
    return free


def _waiting_for(session: Session, job_id: str) -> list[JobRow]:
    """Locked, so that of two jobs that end at once the later one sees that both have ended."""
    wanted = (
        select(JobRow)
        .join(DependencyRow, DependencyRow.job_id == JobRow.id)
        .where(DependencyRow.needs_job_id == job_id, JobRow.state.in_([JobState.QUEUED, JobState.PAUSED]))
        .order_by(JobRow.id)
        .with_for_update(of=JobRow)
    )
    return list(session.execute(wanted).scalars())


def shut_gate(session: Session, needed: JobRow) -> str | None:
    """Why a job that needs `needed` cannot start any more; None when it can, or may later."""
    if JobState(needed.state) not in TERMINAL:
        return None
    if needed.state != JobState.SUCCEEDED:
        detail = f": {needed.error['detail']}" if needed.error else ""
        return f"the {needed.kind} job {needed.id} that this job needs ended {needed.state}{detail}"
    if needed.kind == "sanity":
        report = reports.get(session, needed.id, "result") or {}
        if not report.get("passed"):
            causes = "; ".join(report.get("causes", [])[:3]) or "it left no result"
            return f"the sanity job {needed.id} that this job requires did not pass: {causes}"
    return None


def fail_dataset(session: Session, job_id: str) -> None:
    """A dataset whose import has ended without success is failed; its error is the import job's."""
    row = session.execute(select(DatasetRow).where(DatasetRow.job_id == job_id)).scalar_one_or_none()
    if row is not None and row.state == DatasetState.IMPORTING:
        row.state = DatasetState.FAILED
        session.flush()


def requeue(session: Session, fence: Fence, *, lost: bool, why: str = "its worker was lost") -> bool:
    """Gives an attempt back: the job waits again and goes on from its last checkpoint; `lost` counts as a try."""
    values: dict[str, Any] = {"lost_attempts": JobRow.lost_attempts + 1} if lost else {}
    moved = jobs.transition(session, fence.job_id, JobState.QUEUED, fence=fence, notified_at=None, **values)
    if moved and lost:
        message = f"attempt {fence.attempt} broke off ({why}); another one follows"
        events.append(session, fence.job_id, [NewEvent("log", {"level": "warning", "message": message}, "warning")])
    return moved
