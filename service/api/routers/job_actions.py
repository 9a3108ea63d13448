"""Cancel, pause, resume, retry and clone."""

from typing import Annotated

from fastapi import APIRouter, Body, Response
from sqlalchemy.orm import Session

from service.api.auth import MAY_TRAIN
from service.api.deps import JobId, ServicesDep, answer, notifying
from service.api.http.serializers import job_report
from service.errors import InvalidRequestError, StateError
from service.jobs import completion
from service.jobs.idempotency import IdempotencyKey, Made, once
from service.jobs.submit import SubmittedJob, submit
from service.reports.job import JobReport
from service.resolution.patches import errors_in_patch, patched_spec
from service.specs import JOB_SPEC, AnyJobSpec
from service.specs.changes import CloneRequest
from service.states import JobState, Relation, is_terminal
from service.store import jobs
from service.store.jobs import Parent
from service.store.tables import JobRow

router = APIRouter(prefix="/jobs/{job_id}", tags=["jobs"], dependencies=MAY_TRAIN)


@router.post("/cancel", status_code=202, response_model=JobReport)
def cancel_job(job_id: JobId, services: ServicesDep) -> Response:
    """A waiting job is cancelled at once; a running one within a step, keeping a last checkpoint."""
    with services.store.begin() as session:
        row = jobs.request_cancel(session, job_id)
        free = completion.settle(session, row.id) if is_terminal(JobState(row.state)) else []
        report = job_report(session, jobs.get(session, job_id))
    return answer(report, 202, then=notifying(services, free))


@router.post("/pause", status_code=202)
def pause_job(job_id: JobId, services: ServicesDep) -> JobReport:
    """A running job stops after a checkpoint and waits to be resumed."""
    with services.store.begin() as session:
        return job_report(session, jobs.request_pause(session, job_id))


@router.post("/resume", status_code=202, response_model=JobReport)
def resume_job(job_id: JobId, services: ServicesDep) -> Response:
    """A paused job queues again and goes on from its last checkpoint."""
    with services.store.begin() as session:
        report = job_report(session, jobs.resume(session, job_id))
    return answer(report, 202, then=notifying(services, [job_id]))


@router.post("/retry", status_code=202, response_model=SubmittedJob)
def retry_job(job_id: JobId, services: ServicesDep, idempotency_key: IdempotencyKey = None) -> Response:
    """Submits a failed or cancelled job again: a new job with the same spec and this one as its parent."""
    with services.store.read() as session:
        row = jobs.get(session, job_id)
        if row.state not in (JobState.FAILED, JobState.CANCELLED):
            raise StateError(f"the job is {row.state}; only a failed or cancelled job can be retried")
        spec = spec_of(row)
    return once(
        services,
        idempotency_key,
        f"retry {job_id}",
        lambda session: submit(session, services.settings, spec, parent=Parent(job_id, Relation.FOLLOW_UP)),
    )


@router.post("/clone", status_code=202, response_model=SubmittedJob)
def clone_job(
    job_id: JobId,
    services: ServicesDep,
    request: Annotated[CloneRequest | None, Body()] = None,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Submits the same spec again, with some of its values changed."""
    patch = request.patch if request else {}
    with services.store.read() as session:
        spec = patched_spec(spec_of(jobs.get(session, job_id)), patch)

    def make(session: Session) -> Made:
        with errors_in_patch(patch):
            return submit(session, services.settings, spec, parent=Parent(job_id, Relation.FOLLOW_UP))

    return once(services, idempotency_key, f"clone {job_id} {patch}", make)


def spec_of(row: JobRow) -> AnyJobSpec:
    """The resolved spec of a job that a client can submit."""
    if row.kind == "import":
        raise InvalidRequestError("An import belongs to its dataset; import the dataset again instead")
    if row.kind == "tune-runner":
        raise InvalidRequestError(f"A runner belongs to its search; retry or clone the job {row.parent_id} instead")
    return JOB_SPEC.validate_python(row.spec)
