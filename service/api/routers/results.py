"""What a job concluded: confusion, classification report, lr curve, trials, sanity, batch sizes, check-up."""

from typing import Annotated, Literal, TypeVar

from fastapi import APIRouter, Query
from starlette.responses import Response

from service import plots
from service.api.auth import MAY_READ
from service.api.deps import JobId, Services, ServicesDep
from service.api.http.responses import csv_table, picture, pictured
from service.api.http.strict_route import StrictRoute
from service.jobs.results import AnyReport, stored_report, trials
from service.reports.classification import ClassificationReport, ConfusionReport
from service.reports.names import ReportName
from service.reports.result import BatchSizeReport, CheckupReport, LrCurve, SanityReport, TuneReport

router = APIRouter(prefix="/jobs/{job_id}", tags=["results"], dependencies=MAY_READ, route_class=StrictRoute)
PAGE_CLASSES, PAGE_CELLS = 2_000, 20_000
"""Less than 1 MB each."""
Row = TypeVar("Row")
Offset = Annotated[str | None, Query(pattern="^[0-9]{1,9}$", description="`next_cursor` of the page before.")]
Split = Annotated[Literal["val", "test"], Query(description="Which held-out split.")]


@router.get("/confusion")
def get_confusion(job_id: JobId, services: ServicesDep, split: Split = "val", cursor: Offset = None) -> ConfusionReport:
    """The confusion matrix; rows are true classes. Of more than 200 classes: its cells that are not 0, in pages."""
    report = _report(services, job_id, ReportName.CONFUSION.of(split), ConfusionReport)
    if report.cells is None:
        return report
    cells, following = _page(report.cells, cursor, PAGE_CELLS)
    return report.model_copy(update={"cells": cells, "next_cursor": following})


@router.get(
    "/confusion.{image_format}",
    response_class=Response,
    responses=pictured({"text/csv": {"schema": {"type": "string"}}}),
)
def get_confusion_picture(
    job_id: JobId, image_format: Literal["svg", "png", "csv"], services: ServicesDep, split: Split = "val"
) -> Response:
    """The confusion matrix as a picture, or as CSV (first row and column: the classes)."""
    report = _report(services, job_id, ReportName.CONFUSION.of(split), ConfusionReport)
    if image_format == "csv" and report.matrix is None:
        cells = ([report.labels[true], report.labels[other], count] for true, other, count in report.cells or [])
        return csv_table([["true", "predicted", "count"], *cells])
    if image_format == "csv":
        rows = ([label, *counts] for label, counts in zip(report.labels, report.matrix or [], strict=True))
        return csv_table([["true \\ predicted", *report.labels], *rows])
    return picture(plots.confusion_picture(report, image_format), image_format)


@router.get("/report")
def get_report(
    job_id: JobId, services: ServicesDep, split: Split = "val", cursor: Offset = None
) -> ClassificationReport:
    """Precision, recall, F1 and support of each class, with averages and top-k; very many classes come in pages."""
    report = _report(services, job_id, ReportName.REPORT.of(split), ClassificationReport)
    classes, following = _page(report.classes, cursor, PAGE_CLASSES)
    return report.model_copy(update={"classes": classes, "next_cursor": following})


@router.get("/lr-curve")
def get_lr_curve(job_id: JobId, services: ServicesDep) -> LrCurve:
    """The learning-rate range test of an `lr-find` job."""
    return _report(services, job_id, ReportName.RESULT, LrCurve)


@router.get("/lr-curve.{image_format}", response_class=Response, responses=pictured())
def get_lr_curve_picture(job_id: JobId, image_format: Literal["svg", "png"], services: ServicesDep) -> Response:
    """The range test as a picture, with the suggestion marked."""
    report = _report(services, job_id, ReportName.RESULT, LrCurve)
    return picture(plots.lr_curve_picture(report, image_format), image_format)


@router.get("/trials")
def get_trials(job_id: JobId, services: ServicesDep) -> TuneReport:
    """The trials of a `tune` job, the best so far, and what mattered."""
    with services.store.read() as session:
        return trials(session, job_id)


@router.get("/sanity")
def get_sanity(job_id: JobId, services: ServicesDep) -> SanityReport:
    """The verdict of a `sanity` job."""
    return _report(services, job_id, ReportName.RESULT, SanityReport)


@router.get("/batch-sizes")
def get_batch_sizes(job_id: JobId, services: ServicesDep) -> BatchSizeReport:
    """The table of a `batch-size` job."""
    return _report(services, job_id, ReportName.RESULT, BatchSizeReport)


@router.get("/checkup")
def get_checkup(job_id: JobId, services: ServicesDep) -> CheckupReport:
    """The model and its first batch, looked at before the first step."""
    return _report(services, job_id, ReportName.CHECKUP, CheckupReport)


def _page(items: list[Row], cursor: str | None, size: int) -> tuple[list[Row], str | None]:
    """The items from the cursor on, and the cursor of the next page."""
    start = int(cursor or 0)
    end = start + size
    return items[start:end], str(end) if end < len(items) else None


def _report(services: Services, job_id: str, name: str, model: type[AnyReport]) -> AnyReport:
    with services.store.read() as session:
        return stored_report(session, job_id, name, model)
