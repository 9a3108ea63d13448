"""What a job measured and concluded, as reports: curves per epoch, series of points, reports by name, trials."""

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy.orm import Session

from service.errors import NotReadyError
from service.reports.job import CurveEpoch, CurvesReport, MetricsReport, Point, Series
from service.reports.names import ReportName
from service.reports.part import ReportPart
from service.reports.result import Trial, TuneReport
from service.store import jobs, metrics, reports
from service.store.tables import EpochRow

if TYPE_CHECKING:
    from service.store.points import Points

MAX_POINTS = 1_000_000
LEAST_POINTS = 3
"""Of a series that is downsampled."""
AnyReport = TypeVar("AnyReport", bound=ReportPart)


def curves(session: Session, job_id: str) -> CurvesReport:
    """The curves of one job; NotFoundError when there is no such job."""
    jobs.get(session, job_id)
    rows = metrics.epochs(session, job_id)
    best = [row.epoch for row in rows if row.data["is_best"]]
    return CurvesReport(epochs=[_epoch(row) for row in rows], best_epoch=best[-1] if best else None)


def series(
    session: Session, job_id: str, patterns: Sequence[str] | None, *, from_step: int, max_points: int
) -> dict[str, "Points"]:
    """Points of the series whose names match a pattern such as `grad/*` (None: all), at most `max_points` of each.

    Of many series there are fewer, so that all together are at most `MAX_POINTS`.
    Raises NotFoundError when there is no such job.
    """
    jobs.get(session, job_id)
    names = metrics.names(session, job_id)
    if patterns is not None:
        names = [name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)]
    max_points = min(max_points, max(MAX_POINTS // max(len(names), 1), LEAST_POINTS))
    return metrics.read(session, job_id, names, from_step=from_step, max_points=max_points)


def metrics_report(points_by_name: Mapping[str, "Points"]) -> MetricsReport:
    """The series as a report: a value that is not finite is null and flagged."""
    return MetricsReport(series=[_series(name, points) for name, points in points_by_name.items()])


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


def _series(name: str, points: "Points") -> Series:
    # Without validation: a job may have a million points.
    return Series.model_construct(
        name=name,
        points=[
            Point.model_construct(
                step=step,
                epoch=epoch,
                value=value if math.isfinite(value) else None,
                time=datetime.fromtimestamp(time, UTC),
                flag=None if math.isfinite(value) else str(value),
            )
            for step, epoch, value, time in points.tolist()
        ],
    )


def _epoch(row: EpochRow) -> CurveEpoch:
    return CurveEpoch(
        epoch=row.epoch, train=_numbers(row.data["train"]), val=_numbers(row.data["val"]), lr=row.data["lr"]
    )


def _numbers(values: Mapping[str, Any]) -> dict[str, float | None]:
    """What is not finite is stored as a word."""
    return {name: None if isinstance(value, str) else value for name, value in values.items()}


def _trials_so_far(metric: str, trials: list[Trial], importances: dict[str, float]) -> TuneReport:
    complete = [trial for trial in trials if trial.state == "complete" and trial.value is not None]
    choose = min if metric.endswith("loss") else max
    best = choose(complete, key=lambda trial: trial.value or 0.0) if complete else None
    ordered = sorted(trials, key=lambda trial: trial.number)
    return TuneReport(metric=metric, data=ordered, best=best, importances=importances)


def _fits(model: type[ReportPart], data: dict[str, object]) -> bool:
    """Whether a result has the fields of this report (results of other kinds have others)."""
    return all(name in data for name, field in model.model_fields.items() if field.is_required())
