"""From a spec to a stored job: resolve it, follow its references, store it."""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from sqlalchemy.orm import Session

from service.datasets import imports
from service.errors import ConflictError, InvalidRequestError
from service.jobs import completion, queue, references
from service.jobs.reports import job_report
from service.models import start_weights
from service.reports.job import SubmittedJob
from service.reports.resolution import DryRunReport
from service.resolution.resolve import Resolution, resolve, training_of
from service.resolution.validation import Limits
from service.resolution.warnings import advise_on_data
from service.settings import Settings
from service.specs import JOB_SPEC, AnyJobSpec
from service.specs.dataset import BuiltinSource
from service.states import JobState
from service.store import datasets, events, jobs
from service.store.jobs import Parent
from service.store.tables import DatasetRow, JobRow


class Submission(NamedTuple):
    """A job that was stored, and the ids of jobs that can start now."""

    report: SubmittedJob
    startable: list[str]


Create = Callable[[Session], Submission]
"""Stores a job that was judged before, in the caller's transaction."""


def prepare(session: Session, settings: Settings, spec: AnyJobSpec, *, parent: Parent | None = None) -> Create:
    """Resolves and judges a spec, which may take long and only reads; what is returned stores the job.

    Raises SpecError for what can never run.
    """
    resolution, dataset = _resolve(session, settings, spec)
    return lambda writing: _store(writing, settings, spec, resolution, dataset, parent)


def submit(session: Session, settings: Settings, spec: AnyJobSpec, *, parent: Parent | None = None) -> Submission:
    """Judges and stores a job in the caller's transaction, for jobs that lead others.

    The caller notifies the workers once that has committed. Raises SpecError, and BusyError when the queue is full.
    """
    return prepare(session, settings, spec, parent=parent)(session)


def _store(
    session: Session,
    settings: Settings,
    spec: AnyJobSpec,
    resolution: Resolution,
    judged: DatasetRow | None,
    parent: Parent | None,
) -> Submission:
    """Checks again what may have changed since the spec was judged, and stores the job."""
    queue.refuse_when_full(session, settings)
    dataset = references.find_dataset(session, spec, lock=True)
    if _state(dataset) != _state(judged):
        raise ConflictError("the dataset has changed while the spec was checked; send it again")
    references.check_jobs(session, spec, lock=True)
    start_weights.check(session, settings, spec, lock=True)
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


def _state(dataset: DatasetRow | None) -> tuple[str, str] | None:
    """What a judgement rests on: which dataset it was, and whether it was there already."""
    return None if dataset is None else (dataset.id, dataset.state)


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
    start_weights.check(session, settings, spec)
    profile = datasets.profile(dataset) if dataset else None
    limits = Limits(settings.max_epochs, settings.max_parameters)
    resolution = resolve(spec, limits, profile.meta if profile else None, gpu=queue.has_gpu(session))
    about_data = advise_on_data(profile.findings, *training_of(spec)) if profile else []
    return replace(resolution, warnings=[*about_data, *resolution.warnings]), dataset
