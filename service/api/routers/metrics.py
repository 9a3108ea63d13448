"""Series of numbers, and curves per epoch, as JSON, CSV or pictures."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from sqlalchemy.orm import Session

from service import plots
from service.api.auth import MAY_READ
from service.api.deps import JobId, ServicesDep, answer, pictured
from service.api.routers.results import picture
from service.reports.job import CurveEpoch, CurvesReport, MetricsReport, Point, Series
from service.store import jobs, metrics
from service.store.tables import EpochRow

if TYPE_CHECKING:
    from service.store.points import Points

router = APIRouter(prefix="/jobs/{job_id}", tags=["results"], dependencies=MAY_READ)
Names = Annotated[
    list[str] | None, Query(max_length=200, description="Names, several or comma-separated; `grad/*` matches.")
]


@router.get(
    "/metrics",
    response_model=MetricsReport,
    responses={200: {"content": {"text/csv": {"schema": {"type": "string"}}}}},
)
def get_metrics(
    job_id: JobId,
    services: ServicesDep,
    names: Names = None,
    from_step: Annotated[int, Query(ge=0, le=2**62)] = 0,
    max_points: Annotated[int, Query(ge=3, le=1_000_000, description="Of each series; extremes are kept.")] = 5000,
    format: Annotated[Literal["json", "csv"], Query()] = "json",
) -> Response:
    """Metric series, downsampled. In JSON a value that is not finite is null and `flag` says which."""
    with services.store.read() as session:
        jobs.get(session, job_id)
        wanted = _wanted(names, metrics.names(session, job_id))
        found = metrics.read(session, job_id, wanted, from_step=from_step, max_points=max_points)
    if format == "csv":
        return Response(_csv(found), media_type="text/csv; charset=utf-8")
    return answer(MetricsReport(series=[_series(name, points) for name, points in found.items()]))


@router.get("/curves")
def get_curves(job_id: JobId, services: ServicesDep) -> CurvesReport:
    """Loss and accuracy of train and val, and the learning rate, per epoch."""
    with services.store.read() as session:
        return curves(session, job_id)


@router.get("/curves.{image_format}", response_class=Response, responses=pictured())
def get_curves_picture(job_id: JobId, image_format: Literal["svg", "png"], services: ServicesDep) -> Response:
    """The curves as a picture."""
    with services.store.read() as session:
        report = curves(session, job_id)
    return picture(plots.curves_picture(report, image_format), image_format)


def curves(session: Session, job_id: str) -> CurvesReport:
    """The curves of one job; NotFoundError when there is no such job."""
    jobs.get(session, job_id)
    rows = metrics.epochs(session, job_id)
    best = [row.epoch for row in rows if row.data["is_best"]]
    return CurvesReport(epochs=[_epoch(row) for row in rows], best_epoch=best[-1] if best else None)


def _epoch(row: EpochRow) -> CurveEpoch:
    return CurveEpoch(
        epoch=row.epoch, train=_numbers(row.data["train"]), val=_numbers(row.data["val"]), lr=row.data["lr"]
    )


def _numbers(values: Mapping[str, Any]) -> dict[str, float | None]:
    """What is not finite is stored as a word."""
    return {name: None if isinstance(value, str) else value for name, value in values.items()}


def _wanted(asked: Sequence[str] | None, known: Sequence[str]) -> list[str] | None:
    if not asked:
        return None
    patterns = [name for group in asked for name in group.split(",") if name]
    return [name for name in known if any(fnmatchcase(name, pattern) for pattern in patterns)]


def _series(name: str, points: "Points") -> Series:
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


def _csv(found: Mapping[str, "Points"]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(["name", "step", "epoch", "value", "time"])
    for name, points in found.items():
        for step, epoch, value, time in points.tolist():
            writer.writerow([name, step, epoch, repr(value), datetime.fromtimestamp(time, UTC).isoformat()])
    return buffer.getvalue()
