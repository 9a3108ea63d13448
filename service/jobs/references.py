"""What a spec refers to by id or name: its dataset, the jobs whose results it takes, the jobs it waits for."""

import difflib
from collections.abc import Iterator
from typing import NamedTuple

from sqlalchemy.orm import Session

from service.catalog.datasets import BUILTINS
from service.errors import FieldError, NotFoundError, SpecError
from service.resolution.resolve import training_of
from service.specs import AnyJobSpec
from service.specs.model import TorchvisionSpec
from service.specs.part import FromJob
from service.specs.train import TrainFields
from service.specs.tune import TuneSpec
from service.states import DatasetState, JobState
from service.store import datasets, events, files
from service.store import dependencies as dependency_rows
from service.store.tables import DatasetRow, JobRow

IMPORT_HINT = "POST /v1/datasets imports one"


class Need(NamedTuple):
    """Another job that a spec names."""

    job_id: str
    role: str
    """`requires` (a gate), or what is taken from its result: `lr`, `batch_size`, `weights`, `lr_find`."""
    pointer: str


# Whose results can give what.
GIVERS: dict[str, tuple[str, ...]] = {
    "lr": ("lr-find",),
    "lr_find": ("lr-find",),
    "batch_size": ("batch-size",),
    "weights": ("train", "tune"),
}


def find_dataset(session: Session, spec: AnyJobSpec, *, lock: bool = False) -> DatasetRow | None:
    """The spec's dataset; None for a built-in one that is not imported yet. With `lock`, an import does not end before
    this transaction does.

    Raises SpecError when it is not there (with the nearest known name), or its import failed.
    """
    part, prefix = training_of(spec)
    name = part.dataset
    try:
        row = datasets.get(session, name)
    except NotFoundError:
        if name in BUILTINS:
            return None
        near = difflib.get_close_matches(name, [*datasets.names(session), *BUILTINS], n=1, cutoff=0.5)
        detail = f"there is no dataset `{name}`; " + (f"did you mean `{near[0]}`?" if near else IMPORT_HINT)
        raise SpecError(detail, [FieldError(pointer=f"{prefix}/dataset", detail=detail)]) from None
    if lock and row.state == DatasetState.IMPORTING:
        dependency_rows.lock(session, [row.job_id])
        session.refresh(row)
    if row.state == DatasetState.FAILED:
        detail = f"the import of `{name}` failed; GET /v1/datasets/{row.id} says why"
        raise SpecError(detail, [FieldError(pointer=f"{prefix}/dataset", detail=detail)])
    return row


def check_jobs(session: Session, spec: AnyJobSpec, *, lock: bool = False) -> None:
    """SpecError for jobs that are not there, are of the wrong kind, or have ended without the value.

    With `lock`, they and their files stay until this transaction ends.
    """
    needs = list(_needs(spec))
    if lock and needs:
        dependency_rows.lock(session, [need.job_id for need in needs])
    faults = [_fault(session, need, session.get(JobRow, need.job_id)) for need in needs]
    if errors := [error for error in faults if error is not None]:
        raise SpecError(errors[0].detail, errors)


def dependencies(spec: AnyJobSpec, dataset: DatasetRow) -> Iterator[tuple[str, str]]:
    """(job id, role) of what must end well first; a gate comes last, so that it wins over a value of the same job."""
    if dataset.state == DatasetState.IMPORTING:
        yield dataset.job_id, "dataset"
    needs = list(_needs(spec))
    yield from ((need.job_id, "from_job") for need in needs if need.role != "requires")
    yield from ((need.job_id, "requires") for need in needs if need.role == "requires")


def _needs(spec: AnyJobSpec) -> Iterator[Need]:
    """Every job that the spec names."""
    for index, job_id in enumerate(spec.requires):
        yield Need(job_id, "requires", f"/requires/{index}")
    part, prefix = training_of(spec)
    if isinstance(part.optimizer.lr, FromJob):
        yield Need(part.optimizer.lr.from_job, "lr", f"{prefix}/optimizer/lr/from_job")
    if isinstance(part, TrainFields) and isinstance(part.batch_size, FromJob):
        yield Need(part.batch_size.from_job, "batch_size", f"{prefix}/batch_size/from_job")
    if isinstance(part.model, TorchvisionSpec) and isinstance(part.model.weights, FromJob):
        yield Need(part.model.weights.from_job, "weights", f"{prefix}/model/weights/from_job")
    if isinstance(spec, TuneSpec) and isinstance(spec.lr_find, FromJob):
        yield Need(spec.lr_find.from_job, "lr_find", "/lr_find/from_job")


def _fault(session: Session, need: Need, job: JobRow | None) -> FieldError | None:
    """Why this reference can never be followed, if so."""
    if job is None:
        return FieldError(pointer=need.pointer, detail=f"there is no job {need.job_id}")
    allowed = GIVERS.get(need.role)
    if allowed and job.kind not in allowed:
        kinds = " or ".join(f"`{kind}`" for kind in allowed)
        return FieldError(pointer=need.pointer, detail=f"job {need.job_id} is a `{job.kind}` job; this takes {kinds}")
    # A gate that was missed fails the job when it is stored; a value that will never come is refused here.
    if need.role != "requires" and job.state in (JobState.FAILED, JobState.CANCELLED):
        return FieldError(pointer=need.pointer, detail=f"job {need.job_id} is {job.state} and gives no value")
    if need.role == "weights" and events.last_of_type(session, [job.id], files.DELETED):
        return FieldError(pointer=need.pointer, detail=f"the files of job {job.id} were deleted, its weights with them")
    return None
