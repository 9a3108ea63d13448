"""Series of numbers, and curves per epoch, as JSON, CSV or pictures."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Literal

from fastapi import APIRouter, Query, Response

from service import plots
from service.api.auth import MAY_READ
from service.api.deps import JobId, ServicesDep, separated
from service.api.http.responses import answer, csv_table, picture, pictured
from service.api.http.strict_route import StrictRoute
from service.jobs.results import curves, metrics_report, series
from service.reports.job import CurvesReport, MetricsReport

if TYPE_CHECKING:
    from service.store.points import Points

router = APIRouter(prefix="/jobs/{job_id}", tags=["results"], dependencies=MAY_READ, route_class=StrictRoute)
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
        patterns = separated(names) if names else None
        points = series(session, job_id, patterns, from_step=from_step, max_points=max_points)
    if format == "csv":
        return csv_table(_rows(points))
    return answer(metrics_report(points))


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


def _rows(points_by_name: Mapping[str, "Points"]) -> Iterator[Sequence[object]]:
    yield "name", "step", "epoch", "value", "time"
    for name, points in points_by_name.items():
        for step, epoch, value, time in points.tolist():
            yield name, step, epoch, repr(value), _as_in_json(time)


def _as_in_json(time: float) -> str:
    """A time in seconds as RFC 3339 with `Z`."""
    return datetime.fromtimestamp(time, UTC).isoformat().replace("+00:00", "Z")
