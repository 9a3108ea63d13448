"""The diagnosis of stored jobs: the run record from the series, findings kept with their history, follow-up jobs."""

import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from service.diagnosis.judge import diagnose, is_worse
from service.diagnosis.outcome import in_words
from service.diagnosis.record import Epoch, RunRecord, Series
from service.errors import NotFoundError
from service.reports.finding import Finding, FindingsReport, StoredFinding
from service.reports.result import CheckupReport
from service.specs.train import TrainSpec
from service.states import JobState, StopReason, is_terminal
from service.store import datasets, events, jobs, metrics, reports
from service.store.events import NewEvent
from service.store.session import now
from service.store.tables import DatasetRow, EpochRow, FindingRow, JobRow

if TYPE_CHECKING:
    from service.store.points import Points

# As in `diagnosis.recording`: the rules look at the beginning and the end of a series.
HEAD_POINTS = 200
TAIL_POINTS = 1000


def finding_id(job_id: str, rule: str) -> str:
    """A rule finds a thing once in a job, so its id follows from the two."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{job_id}/{rule}"))


def record_of(session: Session, job: JobRow) -> RunRecord | None:
    """Everything recorded about a `train` job; None for jobs of other kinds."""
    if job.kind != "train":
        return None
    dataset = session.get(DatasetRow, job.dataset_id) if job.dataset_id else None
    checkup = reports.get(session, job.id, "checkup")
    wanted = [name for name in metrics.names(session, job.id) if _is_judged(name)]
    found = metrics.read(session, job.id, wanted) if wanted else {}
    return RunRecord(
        spec=TrainSpec.model_validate(job.spec),
        epochs=tuple(_epoch(row) for row in metrics.epochs(session, job.id)),
        series={name: _series(points) for name, points in found.items()},
        checkup=CheckupReport.model_validate(checkup) if checkup else None,
        profile=datasets.profile(dataset) if dataset else None,
        stop_reason=StopReason(job.stop_reason) if job.stop_reason else None,
        ended=is_terminal(JobState(job.state)),
    )


def report(session: Session, job_id: str) -> FindingsReport:
    """The verdict of today's rules on a job, old or running, with what is kept about each finding."""
    job = jobs.get(session, job_id)
    record = record_of(session, job)
    kept = _rows(session, job_id)
    if record is None:
        words = f"a training: the rules judge `train` jobs, a `{job.kind}` job says what it found in its result"
        return FindingsReport(
            verdict="not enough evidence", missing=[words], data=[_stored(session, row) for row in kept.values()]
        )
    diagnosis = diagnose(record)
    data = [_merged(session, job, finding, kept.get(finding.rule)) for finding in diagnosis.findings]
    present = {finding.rule for finding in diagnosis.findings}
    withdrawn = [_stored(session, row, active=False) for rule, row in kept.items() if rule not in present]
    return FindingsReport(verdict=diagnosis.verdict, missing=list(diagnosis.missing), data=[*data, *withdrawn])


def sync(session: Session, job_id: str, findings: Sequence[Finding]) -> list[Finding]:
    """Keeps what holds now, with events: each finding once, again when it worsens, is withdrawn or returns.

    Returns the findings that are new or worse. Call it under a fence while the job runs (see `jobs.hold`).
    """
    kept = _rows(session, job_id)
    told: list[Finding] = []
    for finding in findings:
        row = kept.get(finding.rule)
        if row is None:
            session.add(_new_row(session, job_id, finding))
            told.append(_tell(session, job_id, finding, "found"))
        elif not row.active or is_worse(finding, Finding.model_validate(row.data)):
            change = "worse" if row.active else "returned"
            _update(session, row, finding, change)
            told.append(_tell(session, job_id, finding, change))
    present = {finding.rule for finding in findings}
    for row in (row for rule, row in kept.items() if rule not in present and row.active):
        row.active, row.updated_at = False, now(session)
        row.history = [*row.history, _entry(session, Finding.model_validate(row.data), "withdrawn")]
        _tell(session, job_id, Finding.model_validate(row.data), "withdrawn")
    session.flush()
    return told


def get(session: Session, job_id: str, finding: str) -> StoredFinding:
    """One finding by its id or its rule; NotFoundError when the job has none such."""
    found = [each for each in report(session, job_id).data if finding in (each.id, each.rule)]
    if not found:
        raise NotFoundError(f"job {job_id} has no finding `{finding}`")
    return found[0]


def link(session: Session, job_id: str, finding: StoredFinding, child_id: str) -> None:
    """Notes the follow-up job that `apply` made of a finding."""
    row = session.get(FindingRow, finding.id)
    if row is None:
        row = _new_row(session, job_id, finding)
        session.add(row)
    row.child_id = child_id
    session.flush()


def _is_judged(name: str) -> bool:
    """Step series that rules read; means and maxima of gradients and numbers of whole epochs are not among them."""
    return not name.startswith(("epoch/", "val/")) and not name.endswith(("/mean", "/max"))


def _series(points: "Points") -> Series:
    """The beginning, the end, and the first value that is not finite."""
    from service.store.points import ends

    points = ends(points, HEAD_POINTS, TAIL_POINTS)
    return Series(tuple(points["step"].tolist()), tuple(points["value"].tolist()))


def _epoch(row: EpochRow) -> Epoch:
    parts = {
        part: {name: float(value) for name, value in row.data[part].items()} for part in ("train", "val", "probes")
    }
    return Epoch(number=row.epoch, step=row.step, lr=row.data["lr"], **parts)


def _rows(session: Session, job_id: str) -> dict[str, FindingRow]:
    wanted = select(FindingRow).where(FindingRow.job_id == job_id).order_by(FindingRow.updated_at)
    return {row.rule: row for row in session.execute(wanted).scalars()}


def _new_row(session: Session, job_id: str, finding: Finding) -> FindingRow:
    return FindingRow(
        id=finding_id(job_id, finding.rule),
        job_id=job_id,
        rule=finding.rule,
        active=True,
        data=_plain(finding),
        history=[_entry(session, finding, "found")],
        updated_at=now(session),
    )


def _plain(finding: Finding) -> dict[str, Any]:
    """What the rule said, without what is kept about it."""
    return finding.model_dump(mode="json", include=set(Finding.model_fields))


def _update(session: Session, row: FindingRow, finding: Finding, change: str) -> None:
    row.active, row.data, row.updated_at = True, _plain(finding), now(session)
    row.history = [*row.history, _entry(session, finding, change)]


def _entry(session: Session, finding: Finding, change: str) -> dict[str, Any]:
    return {
        "time": now(session).isoformat(),
        "change": change,
        "severity": finding.severity,
        "confidence": finding.confidence,
        "epoch": finding.epoch,
    }


def _tell(session: Session, job_id: str, finding: Finding, change: str) -> Finding:
    data = {"id": finding_id(job_id, finding.rule), "change": change, **_plain(finding)}
    events.append(session, job_id, [NewEvent("finding", data)])
    return finding


def _stored(session: Session, row: FindingRow, *, active: bool | None = None) -> StoredFinding:
    return StoredFinding(
        **Finding.model_validate(row.data).model_dump(),
        id=row.id,
        active=row.active if active is None else active,
        history=row.history,
        outcome=_outcome(session, row),
        updated_at=row.updated_at,
    )


def _merged(session: Session, job: JobRow, finding: Finding, row: FindingRow | None) -> StoredFinding:
    """A finding as it stands now, with what is kept about it."""
    return StoredFinding(
        **finding.model_dump(),
        id=finding_id(job.id, finding.rule),
        history=row.history if row else [],
        outcome=_outcome(session, row) if row else None,
        updated_at=row.updated_at if row else None,
    )


def _outcome(session: Session, row: FindingRow) -> dict[str, Any] | None:
    """Whether the follow-up job helped: is the finding gone, and what did the best validation numbers do?"""
    child = session.get(JobRow, row.child_id) if row.child_id else None
    if child is None:
        return None
    told: dict[str, Any] = {"job": child.id, "state": child.state}
    record = record_of(session, child)
    if record is None or not is_terminal(JobState(child.state)):
        return told | {"text": in_words(row.rule, JobState(child.state), None, None, None)}
    before, after = _best(session, row.job_id), _best(session, child.id)
    gone = row.rule not in {finding.rule for finding in diagnose(record).findings}
    improved = before is not None and after is not None and after > before
    return told | {
        "text": in_words(row.rule, JobState(child.state), gone, before, after),
        "finding_gone": gone,
        "best_val_accuracy_before": before,
        "best_val_accuracy_after": after,
        "helped": child.state == JobState.SUCCEEDED and gone and (improved or before is None),
    }


def _best(session: Session, job_id: str) -> float | None:
    values = [row.data["val"].get("accuracy") for row in metrics.epochs(session, job_id)]
    numbers = [value for value in values if isinstance(value, int | float)]
    return max(numbers) if numbers else None
