"""Submit, list, look at, relabel and delete jobs."""

from functools import partial
from operator import attrgetter
from typing import Annotated

from fastapi import APIRouter, Body, Query, Response
from pydantic import AfterValidator, Field, WithJsonSchema

from service.api.auth import MAY_READ, MAY_TRAIN, CallerDep, OwnJobId
from service.api.deps import Cursor, JobId, Limit, ServicesDep
from service.api.http.examples import EXAMPLES
from service.api.http.responses import also, answer, page_answer
from service.api.http.strict_route import StrictRoute
from service.api.idempotency import IdempotencyKey, create_once
from service.jobs import actions
from service.jobs.reports import job_report, job_reports
from service.jobs.submit import dry_run as dry_run_of
from service.jobs.submit import prepare
from service.reports.job import JobReport, SubmittedJob
from service.reports.part import Page
from service.reports.resolution import DryRunReport
from service.specs import INTERNAL_KINDS, KINDS, JobSpec
from service.specs.part import Reference
from service.specs.requests import JobChanges
from service.states import Actor, JobState
from service.store import datasets, jobs

router = APIRouter(prefix="/jobs", tags=["jobs"], route_class=StrictRoute)
LISTED_WHEN_ASKED = f"{' and '.join(f'`{kind}`' for kind in INTERNAL_KINDS)} jobs are listed only when asked for."


def _is_a_kind(value: str) -> str:
    if value not in (*KINDS, *INTERNAL_KINDS):
        raise ValueError(f"`{value}` is none of: {', '.join((*KINDS, *INTERNAL_KINDS))}")
    return value


SpecBody = Annotated[JobSpec, Body(discriminator="kind", openapi_examples=EXAMPLES)]
Kind = Annotated[str, AfterValidator(_is_a_kind), WithJsonSchema({"type": "string", "enum": [*KINDS, *INTERNAL_KINDS]})]
FilterText = Annotated[str, Field(max_length=301)]
AnyOf = partial(Query, default_factory=list, max_length=50)
DryRun = Annotated[bool, Query(description="Only say what would be stored, what is unusual, and what it will cost.")]


@router.post(
    "",
    status_code=202,
    response_model=SubmittedJob,
    responses=also(200, "What a dry run found.", DryRunReport),
    dependencies=MAY_TRAIN,
)
def submit_job(
    spec: SpecBody,
    services: ServicesDep,
    caller: CallerDep,
    dry_run: DryRun = False,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Validates and resolves a spec, stores the job, and tells the workers. `Location` is the job's address."""
    if dry_run:
        with services.store.read() as session:
            return answer(dry_run_of(session, services.settings, spec))
    return create_once(
        services, caller, idempotency_key, spec, lambda session: prepare(session, services.settings, spec)
    )


@router.get("", response_model=Page[JobReport], dependencies=MAY_READ)
def list_jobs(
    services: ServicesDep,
    state: Annotated[list[JobState], AnyOf()],
    kind: Annotated[list[Kind], AnyOf(description=LISTED_WHEN_ASKED)],
    label: Annotated[list[FilterText], AnyOf(description="`key` or `key=value`.")],
    dataset: Annotated[list[Reference], AnyOf(description="Id or name of a dataset.")],
    parent: Annotated[list[Reference], AnyOf(description="Id of the job that these follow.")],
    owner: Annotated[list[FilterText], AnyOf(description="Name of the key that it belongs to.")],
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """Jobs, the newest first; a filter that is given several times means any of its values. Long lists in results are
    left out.
    """
    with services.store.read() as session:
        rows, following = jobs.list_page(
            session,
            state=state,
            kind=kind,
            label=label,
            dataset=[datasets.get(session, name).id for name in dataset],
            parent=parent,
            owner=owner,
            limit=limit,
            cursor=cursor,
        )
        # As a finished response: FastAPI would validate each report once more, in another thread.
        return page_answer(job_reports(session, rows), attrgetter("id"), following)


@router.get("/{job_id}", response_model=JobReport, dependencies=MAY_READ)
def get_job(job_id: JobId, services: ServicesDep) -> Response:
    """One job: state, progress, place in the queue, resolved spec and result."""
    with services.store.read() as session:
        return answer(job_report(session, job_id))


@router.patch("/{job_id}", dependencies=MAY_TRAIN)
def change_job(job_id: OwnJobId, changes: JobChanges, services: ServicesDep, caller: CallerDep) -> JobReport:
    """Renames a job, replaces its labels, or changes its priority."""
    with services.store.begin(caller.name) as session:
        return actions.relabel(session, job_id, changes)


@router.delete("/{job_id}", status_code=204, dependencies=MAY_TRAIN)
def delete_job(
    job_id: OwnJobId,
    services: ServicesDep,
    caller: CallerDep,
    files_only: Annotated[bool, Query(description="Delete the files of an ended job and keep its record.")] = False,
    force: Annotated[bool, Query(description="Also when other jobs took values from it.")] = False,
) -> None:
    """Deletes an ended or waiting job, with its files; one that others need or took values from is kept (409)."""
    if files_only:
        actions.delete_files(
            services.store, job_id, actor=caller.name or Actor.ANYONE, reason="they were asked to be deleted"
        )
    else:
        actions.delete(services.store, job_id, force=force)
