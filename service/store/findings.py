"""Findings of jobs: each rule's finding is kept once, with the history of its changes."""

import uuid
from typing import Literal

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from service.reports.finding import Finding
from service.store.session import now
from service.store.tables import FindingRow

Change = Literal["found", "worse", "returned", "withdrawn"]


def finding_id(job_id: str, rule: str) -> str:
    """A rule finds a thing once in a job, so its id follows from the two."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{job_id}/{rule}"))


def by_rule(session: Session, job_id: str) -> dict[str, FindingRow]:
    """The findings that are kept of a job, by rule."""
    query = select(FindingRow).where(FindingRow.job_id == job_id).order_by(FindingRow.updated_at)
    return {row.rule: row for row in session.execute(query).scalars()}


def count_active(session: Session, job_id: str) -> int:
    """How many findings hold."""
    query = select(func.count()).where(FindingRow.job_id == job_id, FindingRow.active)
    return session.execute(query).scalar_one()


def keep(session: Session, job_id: str, finding: Finding, change: Change) -> FindingRow:
    """Adds a finding, or puts it in the place of what is kept of it; its history grows by the change."""
    key = finding_id(job_id, finding.rule)
    row = session.get(FindingRow, key) or FindingRow(id=key, job_id=job_id, rule=finding.rule, history=[])
    row.data = finding.model_dump(mode="json", include=set(Finding.model_fields))
    row.active, row.updated_at = change != "withdrawn", now(session)
    entry = {
        "time": row.updated_at.isoformat(),
        "change": change,
        "severity": finding.severity,
        "confidence": finding.confidence,
        "epoch": finding.epoch,
    }
    row.history = [*row.history, entry]
    session.add(row)
    session.flush()
    return row


def link(session: Session, job_id: str, finding: Finding, child_id: str) -> None:
    """Notes the follow-up job that was made of a finding."""
    row = session.get(FindingRow, finding_id(job_id, finding.rule)) or keep(session, job_id, finding, "found")
    row.child_id = child_id
    session.flush()
