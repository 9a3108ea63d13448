"""Cancel, pause, resume, retry and clone."""

from typing import Annotated

from fastapi import APIRouter, Body, Response

from service.api.auth import MAY_TRAIN, CallerDep, OwnJobId
from service.api.deps import ServicesDep, notifying
from service.api.http.responses import answer
from service.api.http.strict_route import StrictRoute
from service.api.idempotency import IdempotencyKey, create_once
from service.jobs import actions
from service.reports.job import JobReport, SubmittedJob
from service.specs.requests import CloneRequest, ResumeRequest

router = APIRouter(prefix="/jobs/{job_id}", tags=["jobs"], dependencies=MAY_TRAIN, route_class=StrictRoute)


@router.post("/cancel", status_code=202, response_model=JobReport)
def cancel_job(job_id: OwnJobId, services: ServicesDep, caller: CallerDep) -> Response:
    """A waiting job is cancelled at once; a running one within a step, keeping a last checkpoint."""
    with services.store.begin(caller.name) as session:
        report, startable = actions.cancel(session, job_id)
    return answer(report, 202, then=notifying(services, startable))


@router.post("/pause", status_code=202)
def pause_job(job_id: OwnJobId, services: ServicesDep, caller: CallerDep) -> JobReport:
    """A running job stops after a checkpoint and waits to be resumed."""
    with services.store.begin(caller.name) as session:
        return actions.pause(session, job_id)


@router.post("/resume", status_code=202, response_model=JobReport)
def resume_job(
    job_id: OwnJobId, services: ServicesDep, caller: CallerDep, request: Annotated[ResumeRequest | None, Body()] = None
) -> Response:
    """A paused job queues again and goes on from its last checkpoint, with other limits when the body has some."""
    with services.store.begin(caller.name) as session:
        report, startable = actions.resume(session, job_id, request.limits if request else None)
    return answer(report, 202, then=notifying(services, startable))


@router.post("/retry", status_code=202, response_model=SubmittedJob)
def retry_job(
    job_id: OwnJobId, services: ServicesDep, caller: CallerDep, idempotency_key: IdempotencyKey = None
) -> Response:
    """Submits a failed or cancelled job again: a new job with the same spec and this one as its parent."""
    return create_once(
        services,
        caller,
        idempotency_key,
        f"retry {job_id}",
        lambda session: actions.retry(session, services.settings, job_id),
    )


@router.post("/clone", status_code=202, response_model=SubmittedJob)
def clone_job(
    job_id: OwnJobId,
    services: ServicesDep,
    caller: CallerDep,
    request: Annotated[CloneRequest | None, Body()] = None,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Submits the same spec again, with some of its values changed."""
    patch = request.patch if request else {}
    return create_once(
        services,
        caller,
        idempotency_key,
        f"clone {job_id} {patch}",
        lambda session: actions.clone(session, services.settings, job_id, patch),
    )
