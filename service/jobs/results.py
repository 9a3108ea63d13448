"""What a job concluded: its stored reports by name, and the trials of a search that still runs."""

from typing import TypeVar

from sqlalchemy.orm import Session

from service.errors import NotReadyError
from service.reports.names import ReportName
from service.reports.part import ReportPart
from service.reports.result import Trial, TuneReport
from service.store import jobs, reports

AnyReport = TypeVar("AnyReport", bound=ReportPart)


def stored_report(session: Session, job_id: str, name: str, model: type[AnyReport]) -> AnyReport:
    """The stored report of that name; NotReadyError when the job has none of that form."""
    job = jobs.get(session, job_id)
    data = reports.get(session, job_id, name)
    is_other = name == ReportName.RESULT and data is not None and not _fits(model, data)
    if data is None or is_other or not set(model.model_fields) & set(data):
        raise NotReadyError(f"This {job.kind} job ({job.state}) has no {name.replace(':', ' on ')} of that form")
    return model.model_validate(data)


def trials(session: Session, job_id: str) -> TuneReport:
    """The trials of a search, ended or not; NotReadyError for jobs of other kinds."""
    job = jobs.get(session, job_id)
    result = reports.get(session, job_id, ReportName.RESULT)
    if result is not None and _fits(TuneReport, result):
        return TuneReport.model_validate(result)
    if job.kind != "tune":
        raise NotReadyError(f"This {job.kind} job has no trials")
    stored = [Trial.model_validate(data) for data in reports.of(session, job_id, ReportName.TRIAL).values()]
    importances = reports.get(session, job_id, ReportName.IMPORTANCES) or {"data": {}}
    return _trials_so_far(job.spec["metric"], stored, importances["data"])


def _trials_so_far(metric: str, trials: list[Trial], importances: dict[str, float]) -> TuneReport:
    complete = [trial for trial in trials if trial.state == "complete" and trial.value is not None]
    choose = min if metric.endswith("loss") else max
    best = choose(complete, key=lambda trial: trial.value or 0.0) if complete else None
    ordered = sorted(trials, key=lambda trial: trial.number)
    return TuneReport(metric=metric, data=ordered, best=best, importances=importances)


def _fits(model: type[ReportPart], data: dict[str, object]) -> bool:
    """Whether a result has the fields of this report (results of other kinds have others)."""
    return all(name in data for name, field in model.model_fields.items() if field.is_required())
