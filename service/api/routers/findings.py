"""The diagnosis of a job, and the next job that a finding leads to."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from service.api.auth import MAY_READ, MAY_TRAIN, CallerDep, own_job
from service.api.deps import JobId, ServicesDep
from service.api.http.responses import also, answer
from service.api.http.strict_route import StrictRoute
from service.api.idempotency import IdempotencyKey, create_once
from service.jobs import diagnose, follow_up
from service.reports.finding import FindingsReport
from service.reports.job import SubmittedJob
from service.reports.resolution import DryRunReport

router = APIRouter(prefix="/jobs/{job_id}/findings", tags=["findings"], route_class=StrictRoute)


@router.get("", dependencies=MAY_READ)
def get_findings(job_id: JobId, services: ServicesDep) -> FindingsReport:
    """What is wrong with the run, on what evidence, and what to do next; by today's rules, for old jobs too."""
    with services.store.read() as session:
        return diagnose.report(session, job_id)


@router.post(
    "/{finding}/apply",
    status_code=202,
    response_model=SubmittedJob,
    responses=also(200, "What a dry run found.", DryRunReport),
    dependencies=MAY_TRAIN,
)
def apply_finding(
    job_id: JobId,
    finding: Annotated[str, Path(max_length=100, description="Id or rule of a finding.")],
    services: ServicesDep,
    caller: CallerDep,
    dry_run: Annotated[bool, Query(description="Only show the patched spec and what it costs.")] = False,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Submits the spec with the remedy's patch, as a job that follows this one."""
    settings = services.settings
    if dry_run:
        with services.store.read() as session:
            return answer(follow_up.preview(session, settings, job_id, diagnose.finding(session, job_id, finding)))
    own_job(job_id, services, caller)
    return create_once(
        services,
        caller,
        idempotency_key,
        f"apply {job_id} {finding}",
        lambda session: follow_up.apply(session, settings, job_id, diagnose.finding(session, job_id, finding)),
    )
