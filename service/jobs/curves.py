"""What a job measured, as reports: curves per epoch, and its series of points."""

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from sqlalchemy.orm import Session

from service.reports.job import CurveEpoch, CurvesReport, MetricsReport, Point, Series
from service.store import jobs, metrics
from service.store.tables import EpochRow

if TYPE_CHECKING:
    from service.store.points import Points


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

    Raises NotFoundError when there is no such job.
    """
    jobs.get(session, job_id)
    names = None
    if patterns is not None:
        known = metrics.names(session, job_id)
        names = [name for name in known if any(fnmatchcase(name, pattern) for pattern in patterns)]
    return metrics.read(session, job_id, names, from_step=from_step, max_points=max_points)


def metrics_report(points_by_name: Mapping[str, "Points"]) -> MetricsReport:
    """The series as a report: a value that is not finite is null and flagged."""
    return MetricsReport(series=[_series(name, points) for name, points in points_by_name.items()])


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
