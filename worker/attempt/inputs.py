"""Collects what an attempt needs on this host: dataset, checkpoint, weights, an uploaded file."""

import os
import shutil
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.orm import Session

from service.errors import DataError, NotFoundError, WeightsError
from service.jobs.values import fill_references
from service.models import weights
from service.resolution.validation import Limits
from service.specs import AnyStoredSpec
from service.specs.dataset import UploadSource
from service.specs.model import TorchvisionSpec, WeightsFile, WeightsUpload
from service.specs.part import FromJob
from service.specs.tune import SearchFields
from service.states import JobState, is_terminal
from service.store import files, jobs
from service.store.artifacts.interface import sha256_of
from service.store.attempts import Claim, Fence
from service.store.session import Store
from service.store.tables import FileRow
from service.volumes import root_refusal
from worker.attempt.shared_study import share_study
from worker.engine.context import RunContext


@dataclass(frozen=True)
class Inputs:
    """A spec without references to other jobs, and the context that the engine gets beside it."""

    spec: AnyStoredSpec
    context: RunContext


def gather(store: Store, claim: Claim, *, device: str, threads: int) -> Inputs:
    """Fetches files and fills references in; raises RunError when something that the spec refers to is missing."""
    scratch = _scratch(store, claim.fence)
    scratch.mkdir(parents=True, exist_ok=True)
    with store.read() as session:
        spec = fill_references(session, claim.spec)
        if isinstance(spec, SearchFields):  # a resume may have set other limits than the spec's
            spec = spec.model_copy(update={"limits": claim.limits})
        weights_row = _weights_row(session, spec)
        dataset_rows = files.of(session, claim.dataset_id, "dataset") if claim.dataset_id else []
        checkpoints = files.of(session, claim.fence.job_id, "last")
    context = RunContext(
        scratch=scratch,
        dataset=_dataset(store, claim.dataset_id, dataset_rows) if spec.kind != "import" else None,
        device=device,
        threads=threads,
        limits=Limits(store.settings.max_epochs, store.settings.max_parameters),
        resume_from=_checkpoint(store, checkpoints, scratch),
        weights=_local(store, weights_row, scratch) if weights_row else _weights_path(store, spec),
        data_roots=store.settings.data_roots,
        downloads=store.settings.home / "downloads" if store.settings.allow_downloads else None,
        upload=_upload(store, spec, scratch),
    )
    return Inputs(spec, share_study(store, claim, context))


def discard(store: Store, fence: Fence) -> None:
    """Deletes the scratch files of an attempt and of those before it; a later one may be running on this host."""
    folder = _scratch(store, fence).parent
    for attempt in folder.glob("*"):
        if int(attempt.name) <= fence.attempt:
            shutil.rmtree(attempt, ignore_errors=True)
    with suppress(OSError):
        folder.rmdir()


def delete_upload(store: Store, claim: Claim) -> None:
    """Deletes the uploaded file of an import that has ended well, unless another import reads it.

    That of one that failed is kept: a revision of the dataset goes on from it. The collector deletes it after a day,
    and what a crash leaves.
    """
    if isinstance(source := getattr(claim.spec, "source", None), UploadSource):
        with store.read() as session:
            state = JobState(jobs.get(session, claim.fence.job_id).state)
            is_needed = bool(files.needed(session, [source.artifact]))
        if is_terminal(state) and state is not JobState.FAILED and not is_needed:
            store.artifacts.delete(source.artifact)


def _scratch(store: Store, fence: Fence) -> Path:
    return store.settings.scratch / fence.job_id / str(fence.attempt)


def _training(spec: AnyStoredSpec) -> object:
    return spec.train if isinstance(spec, SearchFields) else spec


def _weights_row(session: Session, spec: AnyStoredSpec) -> FileRow | None:
    model = getattr(_training(spec), "model", None)
    if not isinstance(model, TorchvisionSpec):
        return None
    if isinstance(model.weights, WeightsUpload):
        try:
            uploaded = weights.get(session, model.weights.upload)
        except NotFoundError as error:
            raise WeightsError(error.detail) from error
        return files.of(session, uploaded.id, "weights")[0]
    if not isinstance(model.weights, FromJob):
        return None
    job = jobs.get(session, model.weights.from_job)
    rows = files.of(session, job.id, "model")
    if not rows:
        raise WeightsError(f"job {job.id} ({job.kind}) left no model file")
    return rows[0]


def _weights_path(store: Store, spec: AnyStoredSpec) -> Path | None:
    model = getattr(_training(spec), "model", None)
    if not isinstance(model, TorchvisionSpec) or not isinstance(model.weights, WeightsFile):
        return None
    path = Path(model.weights.path).resolve()
    if (why := root_refusal(Path(model.weights.path), store.settings.data_roots)) is not None:
        raise WeightsError(why)
    if not path.is_file():
        raise WeightsError(f"{model.weights.path} does not exist on this worker")
    return path


def _dataset(store: Store, dataset_id: str | None, rows: list[FileRow]) -> Path | None:
    """The packed dataset's folder: the store's own where it keeps plain files, else a copy that all jobs share."""
    if dataset_id is None:
        return None
    if not rows:
        raise DataError(f"dataset {dataset_id} has no files")
    local = [store.artifacts.local_path(row.artifact) for row in rows]
    if local[0] is not None and all(path is not None and path.parent == local[0].parent for path in local):
        return local[0].parent
    folder = store.settings.home / "cache" / "datasets" / dataset_id
    if not folder.exists():
        partial = folder.with_name(f".{dataset_id}.{uuid.uuid4().hex}")
        for row in rows:
            store.artifacts.fetch(row.artifact, partial / row.name)
        try:
            os.rename(partial, folder)
        except OSError:  # another job fetched it meanwhile
            shutil.rmtree(partial)
    return folder


def _checkpoint(store: Store, rows: list[FileRow], scratch: Path) -> Path | None:
    """The newest checkpoint whose hash is right."""
    for row in rows:
        path = _local(store, row, scratch / "resume")
        if sha256_of(path) == row.sha256:
            return path
    return None


def _local(store: Store, row: FileRow, folder: Path) -> Path:
    return store.artifacts.local_path(row.artifact) or store.artifacts.fetch(row.artifact, folder / row.name)


def _upload(store: Store, spec: AnyStoredSpec, scratch: Path) -> Path | None:
    source = getattr(spec, "source", None)
    if not isinstance(source, UploadSource):
        return None
    return store.artifacts.local_path(source.artifact) or store.artifacts.fetch(source.artifact, scratch / "upload")
