"""The diagnosis of a job, and the next job that a finding leads to."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response
from sqlalchemy.orm import Session

from service.api.auth import MAY_READ, MAY_TRAIN
from service.api.deps import JobId, ServicesDep, also, answer
from service.api.routers.job_actions import spec_of
from service.errors import InvalidRequestError
from service.jobs import diagnose
from service.jobs.idempotency import IdempotencyKey, Made, once
from service.jobs.submit import SubmittedJob, dry_run_of, submit
from service.reports.finding import FindingsReport
from service.reports.resolution import DryRunReport
from service.resolution.patches import patched_spec
from service.states import Relation
from service.store import jobs
from service.store.jobs import Parent

router = APIRouter(prefix="/jobs/{job_id}/findings", tags=["findings"])


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
    dry_run: Annotated[bool, Query(description="Only show the patched spec and what it costs.")] = False,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Submits the spec with the remedy's patch, as a job that follows this one."""
    with services.store.read() as session:
        found = diagnose.get(session, job_id, finding)
        if not found.remedy.patch:
            raise InvalidRequestError(f"No change of the spec can help here: {found.remedy.text}")
        spec = patched_spec(spec_of(jobs.get(session, job_id)), found.remedy.patch)
        if dry_run:
            return answer(dry_run_of(session, services.settings, spec))

    def make(session: Session) -> Made:
        made = submit(session, services.settings, spec, parent=Parent(job_id, Relation.FOLLOW_UP))
        diagnose.link(session, job_id, found, made.report.id)
        return made

    return once(services, idempotency_key, f"apply {job_id} {found.id}", make)
