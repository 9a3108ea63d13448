"""Datasets: named, filled by their import job, immutable from then on."""

import unicodedata
from collections.abc import Iterable

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from service.errors import ConflictError, NotFoundError, NotReadyError
from service.reports.dataset import Profile
from service.states import DatasetState, JobState
from service.store.session import actor_of, now, owned_by
from service.store.tables import DatasetRow, JobRow


def insert(session: Session, dataset_id: str, name: str, job_id: str, parent_id: str | None = None) -> DatasetRow:
    """A dataset that this job imports; ConflictError when the name is taken."""
    check_name(session, name)
    row = DatasetRow(
        id=dataset_id,
        name=name,
        state=DatasetState.IMPORTING,
        job_id=job_id,
        created_at=now(session),
        owner=actor_of(session),
        parent_id=parent_id,
    )
    session.add(row)
    try:
        session.flush()
    except IntegrityError as error:  # somebody else was faster
        raise _name_taken(name) from error
    return row


def check_name(session: Session, name: str) -> None:
    """ConflictError when a dataset has this name."""
    if session.execute(select(DatasetRow.id).where(DatasetRow.name == name)).first():
        raise _name_taken(name)


def _name_taken(name: str) -> ConflictError:
    return ConflictError(f"a dataset named `{name}` exists already; choose another name or delete it first")


def get(session: Session, key: str) -> DatasetRow:
    """The dataset with this id, else the one of this name; NotFoundError when there is none."""
    row = session.get(DatasetRow, key)
    if row is None:
        name = unicodedata.normalize("NFC", key)  # as names are stored
        row = session.execute(select(DatasetRow).where(DatasetRow.name == name)).scalar_one_or_none()
    if row is None:
        raise NotFoundError(f"no dataset has the id or name `{key}`")
    return row


def names(session: Session, limit: int = 1000) -> list[str]:
    """Names of datasets, at most `limit`."""
    return list(session.execute(select(DatasetRow.name).limit(limit)).scalars())


def imported_from(session: Session, artifact: str) -> DatasetRow | None:
    """The dataset that was made of this uploaded file."""
    key = JobRow.spec["source", "artifact"].as_string()
    newest = select(DatasetRow).join(JobRow, JobRow.id == DatasetRow.job_id).order_by(DatasetRow.id.desc())
    return session.execute(newest.where(JobRow.kind == "import", key == artifact).limit(1)).scalar_one_or_none()


def jobs_on(session: Session, dataset_id: str, states: Iterable[JobState]) -> list[str]:
    """Ids of the jobs in these states that read the dataset; the job that imports it is none of them."""
    readers = select(JobRow.id).where(JobRow.dataset_id == dataset_id, JobRow.kind != "import")
    return list(session.execute(readers.where(JobRow.state.in_([str(state) for state in states]))).scalars())


def list_page(
    session: Session, *, owner: str | None = None, limit: int = 50, cursor: str | None = None
) -> tuple[list[DatasetRow], str | None]:
    """Newest first; the cursor is the last id."""
    query = select(DatasetRow).order_by(DatasetRow.id.desc()).limit(limit + 1)
    query = query.where(owned_by(DatasetRow.owner, owner)) if owner is not None else query
    rows = list(session.execute(query.where(DatasetRow.id < cursor) if cursor else query).scalars())
    return rows[:limit], rows[limit - 1].id if len(rows) > limit else None


def profile(row: DatasetRow) -> Profile | None:
    """What the import saw; None until it is done."""
    return None if row.profile is None else Profile.model_validate(row.profile)


def ready_profile(row: DatasetRow) -> Profile:
    """What the import saw, of one that failed too; NotReadyError while it is not known."""
    if (seen := profile(row)) is None:
        raise NotReadyError(f"the dataset `{row.name}` is {row.state}; its profile comes with the end of the import")
    return seen
