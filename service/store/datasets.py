"""Datasets: named, filled by their import job, immutable from then on."""

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from service.errors import ConflictError, InUseError, NotFoundError
from service.reports.dataset import DatasetContent, Profile
from service.resolution.warnings import advise_on_data
from service.specs.dataset import DatasetSource, ImportSpec
from service.states import TERMINAL, DatasetState, JobState
from service.store import events, jobs
from service.store.events import NewEvent
from service.store.ids import new_id
from service.store.session import now
from service.store.tables import DatasetRow, JobRow


def create(session: Session, name: str, source: DatasetSource) -> DatasetRow:
    """A dataset that is importing, with the queued job that imports it; ConflictError when the name is taken."""
    check_name(session, name)
    dataset_id = new_id()
    job = jobs.create(
        session,
        ImportSpec(kind="import", name=f"import {name}", dataset=dataset_id, source=source),
        dataset_id=dataset_id,
    )
    row = DatasetRow(id=dataset_id, name=name, state=DatasetState.IMPORTING, job_id=job.id, created_at=now(session))
    session.add(row)
    session.flush()
    return row


def check_name(session: Session, name: str) -> None:
    """ConflictError when a dataset has this name."""
    if session.execute(select(DatasetRow.id).where(DatasetRow.name == name)).first():
        raise ConflictError(f"a dataset named `{name}` exists already; choose another name or delete it first")


def get(session: Session, key: str) -> DatasetRow:
    """The dataset with this id or name; NotFoundError when there is none."""
    row = session.execute(
        select(DatasetRow).where(or_(DatasetRow.id == key, DatasetRow.name == key))
    ).scalar_one_or_none()
    if row is None:
        raise NotFoundError(f"no dataset has the id or name `{key}`")
    return row


def uploaded_from(session: Session, artifact: str) -> DatasetRow | None:
    """The dataset that was made of this uploaded file."""
    imports = select(DatasetRow, JobRow.spec).join(JobRow, JobRow.id == DatasetRow.job_id)
    recent = imports.where(JobRow.kind == "import").order_by(DatasetRow.id.desc())
    return next((row for row, spec in session.execute(recent) if spec["source"].get("artifact") == artifact), None)


def list_page(session: Session, *, limit: int = 50, cursor: str | None = None) -> tuple[list[DatasetRow], str | None]:
    """Newest first; the cursor is the last id."""
    wanted = select(DatasetRow).order_by(DatasetRow.id.desc()).limit(limit + 1)
    rows = list(session.execute(wanted.where(DatasetRow.id < cursor) if cursor else wanted).scalars())
    return rows[:limit], rows[limit - 1].id if len(rows) > limit else None


def fill(session: Session, dataset_id: str, content: DatasetContent) -> None:
    """Makes an importing dataset ready; jobs that wait for it are told what is wrong with it before they start."""
    row = get(session, dataset_id)
    row.state, row.hash, row.profile = DatasetState.READY, content.hash, content.profile.model_dump(mode="json")
    session.flush()
    warnings = [
        NewEvent("log", {"message": f"{each.pointer}: {each.detail}"}, "warning")
        for each in advise_on_data(content.profile.findings)
    ]
    waiting = select(JobRow.id).where(
        JobRow.dataset_id == row.id, JobRow.kind != "import", JobRow.state == JobState.QUEUED
    )
    for job_id in session.execute(waiting).scalars().all():
        events.append(session, job_id, warnings)


def profile(row: DatasetRow) -> Profile | None:
    """What the import saw; None until it is done."""
    return None if row.profile is None else Profile.model_validate(row.profile)


def remove(session: Session, key: str) -> DatasetRow:
    """Deletes the row; InUseError names the jobs that still need it. The caller deletes its files."""
    row = get(session, key)
    users = select(JobRow.id).where(
        JobRow.dataset_id == row.id, JobRow.kind != "import", JobRow.state.not_in([str(state) for state in TERMINAL])
    )
    if in_use := list(session.execute(users.limit(10)).scalars()):
        raise InUseError("jobs still use this dataset: " + ", ".join(in_use))
    if row.state == DatasetState.IMPORTING:
        raise InUseError(f"the dataset is still importing; cancel its job {row.job_id} first")
    session.delete(row)
    session.flush()
    return row
