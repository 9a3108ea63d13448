"""Reports of jobs by name: results, evaluations of splits, trials of searches."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from service.reports.names import ReportName
from service.store.tables import ReportRow


def put(session: Session, job_id: str, attempt: int, name: str, data: dict[str, Any]) -> None:
    """Stores a report; a later attempt's report of the same name replaces it."""
    session.merge(ReportRow(job_id=job_id, name=name, attempt=attempt, data=data))


def get(session: Session, job_id: str, name: str) -> dict[str, Any] | None:
    """The report of that name, or None."""
    row = session.get(ReportRow, (job_id, name))
    return None if row is None else row.data


def of(session: Session, job_id: str, name: ReportName | None = None) -> dict[str, dict[str, Any]]:
    """Every report of a job by name, or those of each split or trial under one name."""
    query = select(ReportRow).where(ReportRow.job_id == job_id)
    if name is not None:
        query = query.where(ReportRow.name.startswith(name.of(""), autoescape=True))
    return {row.name: row.data for row in session.execute(query).scalars()}


def results_of(session: Session, job_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The result of each of these jobs that has one, by the job's id."""
    if not job_ids:
        return {}
    query = select(ReportRow.job_id, ReportRow.data)
    query = query.where(ReportRow.job_id.in_(job_ids), ReportRow.name == ReportName.RESULT)
    return dict(session.execute(query).all())
