"""From a spec to a stored job: resolve it, follow its references, store it."""

from dataclasses import replace
from typing import NamedTuple

from sqlalchemy.orm import Session

from service.datasets import imports
from service.errors import BusyError, InvalidRequestError
from service.jobs import completion, queue, references
from service.jobs.reports import job_report
from service.reports.job import SubmittedJob
from service.reports.resolution import DryRunReport
from service.resolution.resolve import Resolution, resolve, training_of
from service.resolution.validation import Limits
from service.resolution.warnings import advise_on_data
from service.settings import Settings
from service.specs import JOB_SPEC, AnyJobSpec
from service.specs.dataset import BuiltinSource
from service.states import JobState
from service.store import datasets, events, jobs, workers
from service.store.jobs import Parent
from service.store.tables import DatasetRow, JobRow


class Submission(NamedTuple):
    """A job that was stored, and the ids of jobs that can start now."""

    report: SubmittedJob
    startable: list[str]


def submit(session: Session, settings: Settings, spec: AnyJobSpec, *, parent: Parent | None = None) -> Submission:
    """Stores the job in the caller's transaction; the caller notifies the workers once that has committed.

    Raises SpecError for what can never run, and BusyError when the queue is full.
    """
    if queue.count(session) >= settings.max_queue_length:
        raise BusyError(f"{settings.max_queue_length} jobs wait already; try again later")
    resolution, dataset = _resolve(session, settings, spec)
    startable = []
    if dataset is None:
        dataset = imports.create(session, training_of(spec)[0].dataset, BuiltinSource(kind="builtin"))
        startable.append(dataset.job_id)
    needs = list(references.dependencies(resolution.spec, dataset))
    row = jobs.create(session, resolution.spec, dataset_id=dataset.id, parent=parent, needs=needs)
    events.append_warnings(session, row.id, resolution.warnings)
    completion.fail_behind_missed_gate(session, row.id)
    report = job_report(session, row.id)
    if report.state is JobState.QUEUED:
        startable.append(row.id)
    return Submission(SubmittedJob(**dict(report), warnings=resolution.warnings), startable)


def dry_run(session: Session, settings: Settings, spec: AnyJobSpec) -> DryRunReport:
    """What submitting would store, without storing it."""
    resolution, _ = _resolve(session, settings, spec)
    return DryRunReport(
        spec=resolution.spec.model_dump(mode="json"), warnings=resolution.warnings, estimates=resolution.estimates
    )


def submitted_spec(row: JobRow) -> AnyJobSpec:
    """The resolved spec of a job that a client can submit again; InvalidRequestError for an internal job."""
    if row.kind == "import":
        raise InvalidRequestError("An import belongs to its dataset; import the dataset again instead")
    if row.kind == "tune-runner":
        raise InvalidRequestError(f"A runner belongs to its search; retry or clone the job {row.parent_id} instead")
    return JOB_SPEC.validate_python(row.spec)


def _resolve(session: Session, settings: Settings, spec: AnyJobSpec) -> tuple[Resolution, DatasetRow | None]:
    """The resolved spec and its dataset; None for a built-in dataset that is not imported yet."""
    dataset = references.find_dataset(session, spec)
    references.check_jobs(session, spec)
    profile = datasets.profile(dataset) if dataset else None
    limits = Limits(settings.max_epochs, settings.max_parameters)
    resolution = resolve(spec, limits, profile.meta if profile else None, gpu=workers.has_gpu(session))
    about_data = advise_on_data(profile.findings, training_of(spec)[1]) if profile else []
    return replace(resolution, warnings=[*about_data, *resolution.warnings]), dataset
