"""From a spec to a stored job: resolve it, follow its references, store it."""

from collections.abc import Iterator
from dataclasses import replace

from sqlalchemy import select
from sqlalchemy.orm import Session

from service.api.http.serializers import job_report
from service.datasets import imports
from service.errors import BusyError, GateError, NotFoundError, SpecError
from service.jobs import completion
from service.jobs.idempotency import Made
from service.jobs.references import Given, fault, needs, refused_dataset
from service.reports.job import JobReport
from service.reports.resolution import Advice, DryRunReport
from service.resolution.resolve import Resolution, resolve, training_of
from service.resolution.validation import Limits
from service.resolution.warnings import advise_on_data
from service.settings import Settings
from service.specs import AnyJobSpec
from service.specs.dataset import BuiltinSource
from service.states import DatasetState, JobState
from service.store import datasets, events, jobs
from service.store.events import NewEvent
from service.store.jobs import Parent
from service.store.tables import DatasetRow, DependencyRow, JobRow, WorkerRow

# Datasets that a job may name before anyone imported them: submitting imports them.
BUILTINS: tuple[str, ...] = ("digits",)


class SubmittedJob(JobReport):
    """The job as it was stored, and what was unusual about its spec."""

    warnings: list[Advice] = []


def dry_run_of(session: Session, settings: Settings, spec: AnyJobSpec) -> DryRunReport:
    """What submitting would store, without storing it."""
    dataset = _find_dataset(session, spec)
    _check_references(session, spec)
    found = _resolve(session, settings, spec, dataset)
    return DryRunReport(spec=found.spec.model_dump(mode="json"), warnings=found.warnings, estimates=found.estimates)


def submit(session: Session, settings: Settings, spec: AnyJobSpec, *, parent: Parent | None = None) -> Made:
    """Stores the job in the caller's transaction; the caller notifies the workers once that has committed.

    Raises SpecError for what can never run, and BusyError when the queue is full.
    """
    if jobs.count_queued(session) >= settings.max_queue_length:
        raise BusyError(f"{settings.max_queue_length} jobs wait already; try again later")
    dataset = _find_dataset(session, spec)
    _check_references(session, spec)
    found = _resolve(session, settings, spec, dataset)
    startable = []
    if dataset is None:
        dataset = imports.create(session, training_of(spec)[0].dataset, BuiltinSource(kind="builtin"))
        startable.append(dataset.job_id)
    needed = list(_dependencies(found.spec, dataset))
    row = jobs.create(session, found.spec, dataset_id=dataset.id, parent=parent, needs=needed)
    warnings = [NewEvent("log", {"message": f"{each.pointer}: {each.detail}"}, "warning") for each in found.warnings]
    events.append(session, row.id, warnings)
    _fail_behind_shut_gates(session, row)
    report = job_report(session, jobs.get(session, row.id))
    if report.state is JobState.QUEUED:
        startable.append(row.id)
    return Made(SubmittedJob(**dict(report), warnings=found.warnings), f"/v1/jobs/{row.id}", startable)


def _resolve(session: Session, settings: Settings, spec: AnyJobSpec, dataset: DatasetRow | None) -> Resolution:
    limits = Limits(settings.max_epochs, settings.max_parameters)
    profile = datasets.profile(dataset) if dataset else None
    has_gpu = any("cuda" in str(devices) for devices in session.execute(select(WorkerRow.devices)).scalars())
    found = resolve(spec, limits, profile.meta if profile else None, gpu=has_gpu)
    about_data = advise_on_data(profile.findings, training_of(spec)[1]) if profile else []
    return replace(found, warnings=[*about_data, *found.warnings])


def _find_dataset(session: Session, spec: AnyJobSpec) -> DatasetRow | None:
    """The spec's dataset; None for a built-in one that is not imported yet. SpecError when it cannot be used."""
    part, prefix = training_of(spec)
    try:
        row = datasets.get(session, part.dataset)
    except NotFoundError:
        if part.dataset in BUILTINS:
            return None
        known = list(session.execute(select(DatasetRow.name).limit(1000)).scalars())
        raise refused_dataset(part.dataset, prefix, known=[*known, *BUILTINS]) from None
    if row.state == DatasetState.FAILED:
        raise refused_dataset(part.dataset, prefix, failed=row.id)
    return row


def _check_references(session: Session, spec: AnyJobSpec) -> None:
    """SpecError for jobs that are not there, are of the wrong kind, or have ended without the value."""
    errors = []
    for need in needs(spec):
        row = session.get(JobRow, need.job_id)
        if found := fault(need, Given(row.kind, row.state) if row else None):
            errors.append(found)
    if errors:
        raise SpecError(errors[0].detail, errors)


def _dependencies(spec: AnyJobSpec, dataset: DatasetRow) -> Iterator[tuple[str, str]]:
    """(job id, role) of what must end well first; a gate comes last, so that it wins over a value of the same job."""
    if dataset.state == DatasetState.IMPORTING:
        yield dataset.job_id, "dataset"
    named = list(needs(spec))
    yield from ((need.job_id, "from_job") for need in named if need.role != "requires")
    yield from ((need.job_id, "requires") for need in named if need.role == "requires")


def _fail_behind_shut_gates(session: Session, row: JobRow) -> None:
    """A job whose gate was missed before it came fails at once, with the reason."""
    wanted = select(JobRow).join(DependencyRow, DependencyRow.needs_job_id == JobRow.id)
    for needed in session.execute(wanted.where(DependencyRow.job_id == row.id)).scalars().all():
        if reason := completion.shut_gate(session, needed):
            completion.end(session, row.id, JobState.FAILED, error=GateError(reason).problem())
            return
