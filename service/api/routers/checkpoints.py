"""The files that a job left: list them, download them whole or in ranges."""

from fastapi import APIRouter, Request, Response

from service.api.auth import MAY_READ
from service.api.deps import JobId, ServicesDep
from service.api.http.range_responses import send_file
from service.api.http.strict_route import StrictRoute
from service.jobs.reports import checkpoint_report
from service.reports.job import CheckpointReport
from service.reports.part import Page
from service.store import files, jobs

router = APIRouter(
    prefix="/jobs/{job_id}/checkpoints", tags=["results"], dependencies=MAY_READ, route_class=StrictRoute
)


@router.get("")
def list_checkpoints(job_id: JobId, services: ServicesDep) -> Page[CheckpointReport]:
    """Checkpoints and the model file (safetensors), the newest first."""
    with services.store.read() as session:
        jobs.get(session, job_id)
        return Page(data=[checkpoint_report(row) for row in files.of(session, job_id)])


@router.get(
    "/{name}",
    response_class=Response,
    responses={
        200: {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}},
        206: {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}},
    },
)
def download_checkpoint(job_id: JobId, name: str, request: Request, services: ServicesDep) -> Response:
    """The file; honours `Range`, and its ETag is its SHA-256."""
    with services.store.read() as session:
        jobs.get(session, job_id)
        row = files.named(session, job_id, name)
    return send_file(
        request,
        lambda start, stop: services.store.artifacts.read(row.artifact, start, stop),
        size=row.size,
        sha256=row.sha256,
        filename=row.name,
    )
