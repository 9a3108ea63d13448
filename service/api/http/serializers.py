"""Rows as the reports that clients see."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from service.errors import Problem
from service.reports.dataset import DatasetReport
from service.reports.job import CheckpointReport, EventReport, JobReport, QueuePlace
from service.states import DatasetState, JobState, Relation
from service.store import datasets, workers
from service.store.tables import DatasetRow, DependencyRow, EventRow, FileRow, JobRow, ReportRow

WORKER_SILENCE_SECONDS = 60
# Lists of numbers that a result holds, one a step or trial: shown for one job, not in lists of jobs.
LONG_FIELDS: frozenset[str] = frozenset({"points", "loss_per_step", "accuracy_per_step", "data", "table", "attempts"})


def job_report(session: Session, row: JobRow) -> JobReport:
    """One job with its whole result."""
    return _job(row, _results(session, [row]), queue_of(session, [row]))


def job_reports(session: Session, rows: Sequence[JobRow]) -> list[JobReport]:
    """A list of jobs, with results shortened; a constant number of queries however many there are."""
    queue = queue_of(session, rows)
    results = {
        job_id: {name: value for name, value in result.items() if name not in LONG_FIELDS}
        for job_id, result in _results(session, rows).items()
    }
    return [_job(row, results, queue) for row in rows]


def dataset_report(session: Session, row: DatasetRow) -> DatasetReport:
    """One dataset; progress and error are its import job's."""
    job = session.get(JobRow, row.job_id)
    profile = datasets.profile(row)
    meta = profile.meta if profile else None
    return DatasetReport(
        id=row.id,
        name=row.name,
        state=DatasetState(row.state),
        progress=1.0 if row.state == DatasetState.READY else (job.progress if job else 0.0),
        hash=row.hash,
        classes=meta.classes if meta else [],
        counts=meta.counts if meta else {},
        modality=meta.modality if meta else None,
        shape=meta.shape if meta else [],
        job=row.job_id,
        created_at=row.created_at,
        error=Problem.model_validate(job.error) if job and job.error else None,
    )


def event_report(row: EventRow) -> EventReport:
    """One event."""
    data = row.data if row.level is None else {"level": row.level, **row.data}
    return EventReport(seq=row.seq, time=row.time, type=row.type, data=data)


def checkpoint_report(row: FileRow) -> CheckpointReport:
    """One file of a job."""
    return CheckpointReport(
        name=row.name,
        role=row.role,
        size=row.size,
        sha256=row.sha256,
        step=row.step,
        epoch=row.epoch,
        metrics=row.metrics,
        created_at=row.created_at,
    )


def _job(row: JobRow, results: dict[str, dict[str, Any]], queue: dict[str, QueuePlace]) -> JobReport:
    return JobReport(
        id=row.id,
        kind=row.kind,
        name=row.name,
        labels=row.labels,
        priority=row.priority,
        state=JobState(row.state),
        phase=row.phase,
        progress=row.progress,
        dataset=row.dataset_id,
        parent=row.parent_id,
        relation=Relation(row.relation) if row.relation else None,
        attempt=row.attempt,
        resume=row.resume,
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        error=Problem.model_validate(row.error) if row.error else None,
        queue=queue.get(row.id),
        spec=row.spec,
        result=results.get(row.id),
    )


def _results(session: Session, rows: Sequence[JobRow]) -> dict[str, dict[str, Any]]:
    ids = [row.id for row in rows if row.started_at is not None]
    if not ids:
        return {}
    wanted = select(ReportRow.job_id, ReportRow.data).where(ReportRow.job_id.in_(ids), ReportRow.name == "result")
    return dict(session.execute(wanted).all())


def queue_of(session: Session, rows: Sequence[JobRow]) -> dict[str, QueuePlace]:
    """Where each waiting job stands, and what it waits for."""
    ids = [row.id for row in rows if row.state == JobState.QUEUED]
    if not ids:
        return {}
    nobody = _no_worker(session)
    order = select(JobRow.id).where(JobRow.state == JobState.QUEUED).order_by(JobRow.priority.desc(), JobRow.id)
    places = {job_id: place for place, job_id in enumerate(session.execute(order).scalars(), start=1)}
    unmet = (
        select(DependencyRow.job_id, JobRow.id, JobRow.kind, JobRow.state)
        .join(JobRow, JobRow.id == DependencyRow.needs_job_id)
        .where(DependencyRow.job_id.in_(ids), JobRow.state != JobState.SUCCEEDED)
    )
    reasons: dict[str, list[str]] = {}
    for job_id, need_id, kind, state in session.execute(unmet):
        reasons.setdefault(job_id, []).append(f"the {kind} job {need_id} ({state})")
    found = {}
    for job_id in ids:
        place = places.get(job_id, 1)
        reason = "waits for " + " and ".join(reasons[job_id]) if job_id in reasons else _idle(place, nobody)
        found[job_id] = QueuePlace(position=place, reason=reason)
    return found


def _idle(place: int, nobody: bool) -> str:
    if nobody:
        return "waits for a worker: none is running"
    return "waits for a free worker" if place == 1 else f"waits for a free worker; {place - 1} ahead"


def _no_worker(session: Session) -> bool:
    """Whether no worker has given a sign of life within the longest time that one may be silent."""
    return not workers.alive(session, WORKER_SILENCE_SECONDS)
