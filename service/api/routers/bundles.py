"""Runs as a whole: the bundle that reproduces one, and several compared."""

from typing import Annotated

from fastapi import APIRouter, Query

from service.api.auth import MAY_READ
from service.api.deps import JobId, ServicesDep, separated
from service.api.http.strict_route import StrictRoute
from service.errors import FieldError, InvalidRequestError
from service.jobs import bundles
from service.reports.record import Bundle, Comparison

router = APIRouter(tags=["results"], dependencies=MAY_READ, route_class=StrictRoute)
MAX_COMPARED = 20


@router.get("/jobs/{job_id}/bundle")
def get_bundle(job_id: JobId, services: ServicesDep) -> Bundle:
    """Resolved spec, dataset hash, seeds, versions and metrics: enough to reproduce the run."""
    with services.store.read() as session:
        return bundles.bundle(session, job_id)


@router.get("/compare")
def compare_jobs(
    services: ServicesDep,
    ids: Annotated[list[str], Query(min_length=1, description="Ids of jobs, several or comma-separated.")],
) -> Comparison:
    """Runs side by side: results, curves, and where their specs differ."""
    job_ids = list(dict.fromkeys(separated(ids)))
    if not 1 <= len(job_ids) <= MAX_COMPARED:
        detail = f"give 1 to {MAX_COMPARED} ids"
        raise InvalidRequestError(detail, [FieldError(pointer="/query/ids", detail=detail)])
    with services.store.read() as session:
        return bundles.compare(session, job_ids)
