"""Datasets from beginning to end: created with the job that imports them, filled by it, deleted with their files."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from service.errors import InUseError
from service.ids import new_id
from service.reports.dataset import DatasetContent, Profile
from service.resolution.defaults import filled
from service.resolution.resolve import training_of
from service.resolution.warnings import advise_on_data
from service.specs import STORED_SPEC, AnyJobSpec
from service.specs.dataset import DatasetSource, ImportSpec, UploadFields, UploadSource
from service.states import DatasetState, JobState
from service.store import datasets, events, files, jobs
from service.store.session import Store
from service.store.tables import DatasetRow, JobRow


def create(session: Session, name: str, source: DatasetSource, parent_id: str | None = None) -> DatasetRow:
    """A dataset that is importing, with the queued job that imports it; ConflictError when the name is taken."""
    dataset_id = new_id()
    spec = ImportSpec(kind="import", name=f"import {name}", dataset=dataset_id, source=source)
    job = jobs.create(session, spec, dataset_id=dataset_id)
    return datasets.insert(session, dataset_id, name, job.id, parent_id)


def create_from_file(session: Session, fields: UploadFields, artifact: str) -> DatasetRow:
    """A dataset of an uploaded file, which lies in the artifact store under this key."""
    source = UploadSource(kind="upload", filename=fields.filename, artifact=artifact, options=fields.options)
    return create(session, fields.name, source)


def check_name(store: Store, name: str) -> None:
    """ConflictError when a dataset has this name."""
    with store.read() as session:
        datasets.check_name(session, name)


def fill(session: Session, dataset_id: str, content: DatasetContent) -> None:
    """Makes an importing dataset ready.

    Jobs that wait for it get the defaults that follow the data, and log what is wrong with it.
    """
    row = datasets.get(session, dataset_id)
    row.state, row.hash, row.profile = DatasetState.READY, content.hash, content.profile.model_dump(mode="json")
    session.flush()
    for job_id in datasets.jobs_on(session, row.id, [JobState.QUEUED, JobState.PAUSED]):
        job = jobs.get(session, job_id)
        spec = filled(STORED_SPEC.validate_python(job.spec), content.profile.meta)
        job.spec = spec.model_dump(mode="json")
        part = training_of(spec)[0] if isinstance(spec, AnyJobSpec) else None
        advice = advise_on_data(content.profile.findings, part)
        events.append_warnings(session, job_id, advice)


def note_profile(session: Session, dataset_id: str, profile: Profile) -> None:
    """Keeps what an import saw that is about to fail."""
    datasets.get(session, dataset_id).profile = profile.model_dump(mode="json")
    session.flush()


def fail(session: Session, job_id: str) -> None:
    """The dataset of an import job that has ended without success fails; its error is that job's."""
    row = session.execute(select(DatasetRow).where(DatasetRow.job_id == job_id)).scalar_one_or_none()
    if row is not None and row.state == DatasetState.IMPORTING:
        row.state = DatasetState.FAILED
        session.flush()


def delete(store: Store, key: str) -> None:
    """Deletes a dataset and its files; InUseError names the jobs that still need it."""
    with store.begin() as session:
        row = datasets.get(session, key)
        in_use = [user for user in files.users(session, [row.id]).get(row.id, []) if user != row.job_id]
        if in_use:
            raise InUseError("jobs still use this dataset: " + ", ".join(in_use[:10]))
        if row.state == DatasetState.IMPORTING:
            raise InUseError(f"the dataset is still importing; cancel its job {row.job_id} first")
        uploaded = _uploaded_file(session, row)
        others = files.needed(session, uploaded) if uploaded else set()
        artifacts = [file.artifact for file in files.of(session, row.id)] + [
            key for key in uploaded if key not in others
        ]
        files.remove(session, row.id)
        session.delete(row)
    for artifact in artifacts:  # after the commit: a row never names a file that is gone
        store.artifacts.delete(artifact)


def _uploaded_file(session: Session, row: DatasetRow) -> list[str]:
    """Key of the file that the dataset was imported from, where it was uploaded."""
    job = session.get(JobRow, row.job_id)
    source = job.spec["source"] if job else {}
    return [source["artifact"]] if source.get("kind") == "upload" else []
