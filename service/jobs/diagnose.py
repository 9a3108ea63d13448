"""The findings of a stored job: today's verdict on it, and what is kept of each finding over the job's life."""

from collections.abc import Sequence

from sqlalchemy.orm import Session

from service.diagnosis.judge import diagnose, is_worse
from service.errors import NotFoundError
from service.jobs import follow_up
from service.jobs.run_record import run_record
from service.reports.finding import Finding, FindingsReport, StoredFinding
from service.store import events, findings, jobs
from service.store.events import NewEvent
from service.store.findings import Change, finding_id
from service.store.tables import FindingRow


def report(session: Session, job_id: str) -> FindingsReport:
    """The verdict of today's rules on a job, old or running, with what is kept about each finding."""
    job = jobs.get(session, job_id)
    record = run_record(session, job)
    if record is None:
        missing = f"a training: the rules judge `train` jobs, a `{job.kind}` job says what it found in its result"
        return FindingsReport(verdict="not enough evidence", missing=[missing], data=[])
    rows = findings.by_rule(session, job_id)
    diagnosis = diagnose(record)
    present = [_stored(session, job_id, finding, rows.pop(finding.rule, None)) for finding in diagnosis.findings]
    withdrawn = [_stored(session, job_id, _kept(row), row, active=False) for row in rows.values()]
    return FindingsReport(verdict=diagnosis.verdict, missing=list(diagnosis.missing), data=[*present, *withdrawn])


def finding(session: Session, job_id: str, key: str) -> StoredFinding:
    """The job's finding with this id or rule; NotFoundError when it has none such."""
    for stored in report(session, job_id).data:
        if key in (stored.id, stored.rule):
            return stored
    raise NotFoundError(f"job {job_id} has no finding `{key}`")


def update(session: Session, job_id: str, present: Sequence[Finding]) -> list[Finding]:
    """Keeps the findings that hold now, with an event for each that is new, worse, returned or withdrawn.

    Returns those that are new, worse or returned. Call it under a fence while the job runs (`attempts.lock`).
    """
    rows = findings.by_rule(session, job_id)
    changed: list[Finding] = []
    for current in present:
        row = rows.pop(current.rule, None)
        if row is not None and row.active and not is_worse(current, _kept(row)):
            continue
        _change(session, job_id, current, "found" if row is None else "worse" if row.active else "returned")
        changed.append(current)
    for row in rows.values():
        if row.active:
            _change(session, job_id, _kept(row), "withdrawn")
    return changed


def _change(session: Session, job_id: str, changed: Finding, change: Change) -> None:
    row = findings.keep(session, job_id, changed, change)
    events.append(session, job_id, [NewEvent("finding", {"id": row.id, "change": change, **row.data})])


def _kept(row: FindingRow) -> Finding:
    return Finding.model_validate(row.data)


def _stored(
    session: Session, job_id: str, current: Finding, row: FindingRow | None, *, active: bool = True
) -> StoredFinding:
    """A finding as it stands now, with what is kept about it."""
    return StoredFinding(
        **current.model_dump(),
        id=finding_id(job_id, current.rule),
        active=active,
        history=row.history if row else [],
        outcome=follow_up.outcome(session, row) if row else None,
        updated_at=row.updated_at if row else None,
    )
