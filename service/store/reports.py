"""Results of jobs by name."""

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from service.store.tables import ReportRow


def put(session: Session, job_id: str, attempt: int, name: str, data: dict[str, Any]) -> None:
    """Stores a report; a later attempt's report of the same name replaces it."""
    session.merge(ReportRow(job_id=job_id, name=name, attempt=attempt, data=data))


def get(session: Session, job_id: str, name: str) -> dict[str, Any] | None:
    """The report of that name, or None."""
    row = session.get(ReportRow, (job_id, name))
    return None if row is None else row.data


def named(session: Session, job_id: str, prefix: str) -> dict[str, dict[str, Any]]:
    """Every report whose name starts with `prefix`, by name."""
    wanted = select(ReportRow).where(ReportRow.job_id == job_id, ReportRow.name.startswith(prefix, autoescape=True))
    return {row.name: row.data for row in session.execute(wanted).scalars()}
