"""Runs as a whole: the bundle that reproduces one, and several compared."""

from importlib.metadata import version
from typing import Annotated, Any

from fastapi import APIRouter, Query
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from service.api.auth import MAY_READ
from service.api.deps import JobId, ServicesDep
from service.api.http.serializers import checkpoint_report, job_report
from service.api.routers.metrics import curves
from service.errors import FieldError, InvalidRequestError
from service.reports.record import Bundle, ComparedJob, Comparison
from service.store import files, jobs, reports
from service.store.tables import DatasetRow, FindingRow, JobRow

router = APIRouter(tags=["results"], dependencies=MAY_READ)
MAX_COMPARED = 20


@router.get("/jobs/{job_id}/bundle")
def get_bundle(job_id: JobId, services: ServicesDep) -> Bundle:
    """Resolved spec, dataset hash, seeds, versions and metrics: enough to reproduce the run."""
    with services.store.read() as session:
        row = jobs.get(session, job_id)
        stored = reports.named(session, job_id, "")
        environment = stored.pop("environment", {})
        return Bundle(
            job=row.id,
            kind=row.kind,
            created_at=row.created_at,
            spec=row.spec,
            dataset=_dataset(session, row),
            seeds=_seeds(row.spec),
            versions={"trainwright": version("trainwright"), **environment},
            reports=stored,
            curves=curves(session, job_id),
            files=[checkpoint_report(file) for file in files.of(session, job_id)],
        )


@router.get("/compare")
def compare_jobs(
    services: ServicesDep,
    ids: Annotated[list[str], Query(min_length=1, description="Ids of jobs, several or comma-separated.")],
) -> Comparison:
    """Runs side by side: results, curves, and where their specs differ."""
    wanted = list(dict.fromkeys(job_id for group in ids for job_id in group.split(",") if job_id))
    if not 1 <= len(wanted) <= MAX_COMPARED:
        detail = f"give 1 to {MAX_COMPARED} ids"
        raise InvalidRequestError(detail, [FieldError(pointer="/query/ids", detail=detail)])
    with services.store.read() as session:
        rows = [jobs.get(session, job_id) for job_id in wanted]
        data = [
            ComparedJob(
                job=job_report(session, row), curves=curves(session, row.id), findings=_count_findings(session, row.id)
            )
            for row in rows
        ]
    return Comparison(data=data, differences=_differences([row.spec for row in rows]))


def _dataset(session: Session, row: JobRow) -> dict[str, Any]:
    dataset = session.get(DatasetRow, row.dataset_id) if row.dataset_id else None
    if dataset is None:
        return {}
    importer = session.get(JobRow, dataset.job_id)
    source = importer.spec.get("source") if importer else None
    return {"id": dataset.id, "name": dataset.name, "hash": dataset.hash, "source": source}


def _seeds(spec: dict[str, Any]) -> dict[str, int]:
    return {path: value for path, value in _leaves(spec).items() if path.rpartition(".")[2] == "seed"}


def _count_findings(session: Session, job_id: str) -> int:
    wanted = select(func.count()).where(FindingRow.job_id == job_id, FindingRow.active)
    return session.execute(wanted).scalar_one()


def _differences(specs: list[dict[str, Any]]) -> dict[str, list[Any]]:
    flat = [_leaves(spec) for spec in specs]
    paths = sorted({path for leaves in flat for path in leaves})
    rows = {path: [leaves.get(path) for leaves in flat] for path in paths}
    return {path: values for path, values in rows.items() if any(value != values[0] for value in values)}


def _leaves(node: Any, path: str = "") -> dict[str, Any]:
    """Dotted path -> value of everything that is not an object; lists count as values."""
    if not isinstance(node, dict) or not node:
        return {path: node}
    return {
        below: value
        for name, child in node.items()
        for below, value in _leaves(child, f"{path}.{name}" if path else str(name)).items()
    }
