"""From a spec to a stored job: resolve it, follow its references, store it."""

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from sqlalchemy.orm import Session

from service.datasets import imports
from service.errors import BusyError, InvalidRequestError, NotFoundError, SpecError
from service.jobs import completion, queue
from service.jobs.references import Given, fault, needs, refused_dataset
from service.jobs.reports import job_report
from service.reports.job import SubmittedJob
from service.reports.resolution import Advice, DryRunReport
from service.resolution.resolve import Resolution, resolve, training_of
from service.resolution.validation import Limits
from service.resolution.warnings import advise_on_data
from service.settings import Settings
from service.specs import JOB_SPEC, AnyJobSpec
from service.specs.dataset import BuiltinSource
from service.states import DatasetState, JobState
from service.store import datasets, events, jobs, workers
from service.store.events import NewEvent
from service.store.jobs import Parent
from service.store.tables import DatasetRow, JobRow

# Datasets that a job may name before anyone imported them: submitting imports them.
BUILTINS: tuple[str, ...] = ("digits",)


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
    dependencies = list(_dependencies(resolution.spec, dataset))
    row = jobs.create(session, resolution.spec, dataset_id=dataset.id, parent=parent, needs=dependencies)
    events.append(session, row.id, [_warning(advice) for advice in resolution.warnings])
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
    dataset = _find_dataset(session, spec)
    _check_references(session, spec)
    profile = datasets.profile(dataset) if dataset else None
    limits = Limits(settings.max_epochs, settings.max_parameters)
    resolution = resolve(spec, limits, profile.meta if profile else None, gpu=workers.has_gpu(session))
    about_data = advise_on_data(profile.findings, training_of(spec)[1]) if profile else []
    return replace(resolution, warnings=[*about_data, *resolution.warnings]), dataset


def _warning(advice: Advice) -> NewEvent:
    return NewEvent("log", {"message": f"{advice.pointer}: {advice.detail}"}, "warning")


def _find_dataset(session: Session, spec: AnyJobSpec) -> DatasetRow | None:
    """The spec's dataset; None for a built-in one that is not imported yet. SpecError when it cannot be used."""
    part, prefix = training_of(spec)
    try:
        row = datasets.get(session, part.dataset)
    except NotFoundError:
        if part.dataset in BUILTINS:
            return None
        raise refused_dataset(part.dataset, prefix, known=[*datasets.names(session), *BUILTINS]) from None
    if row.state == DatasetState.FAILED:
        raise refused_dataset(part.dataset, prefix, failed=row.id)
    return row


def _check_references(session: Session, spec: AnyJobSpec) -> None:
    """SpecError for jobs that are not there, are of the wrong kind, or have ended without the value."""
    errors = []
    for need in needs(spec):
        row = session.get(JobRow, need.job_id)
        if error := fault(need, Given(row.kind, row.state) if row else None):
            errors.append(error)
    if errors:
        raise SpecError(errors[0].detail, errors)


def _dependencies(spec: AnyJobSpec, dataset: DatasetRow) -> Iterator[tuple[str, str]]:
    """(job id, role) of what must end well first; a gate comes last, so that it wins over a value of the same job."""
    if dataset.state == DatasetState.IMPORTING:
        yield dataset.job_id, "dataset"
    named = list(needs(spec))
    yield from ((need.job_id, "from_job") for need in named if need.role != "requires")
    yield from ((need.job_id, "requires") for need in named if need.role == "requires")
