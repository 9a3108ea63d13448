"""Which jobs need which: a job starts once every job that it needs has succeeded."""

from collections.abc import Iterable, Mapping

from sqlalchemy import select
from sqlalchemy.orm import Session

from service.errors import NotFoundError
from service.states import JobState
from service.store.tables import DependencyRow, JobRow


def lock_needed(session: Session, job_ids: Iterable[str]) -> None:
    """Keeps needed jobs from ending or going away unseen while a job that needs them is being added.

    Raises NotFoundError when one is not there.
    """
    if missing := set(job_ids) - lock(session, job_ids):
        raise NotFoundError(f"no job has the id `{min(missing)}`")


def lock(session: Session, job_ids: Iterable[str]) -> set[str]:
    """Keeps those of these jobs that are there as they are until this transaction ends; returns their ids."""
    query = select(JobRow.id).where(JobRow.id.in_(job_ids)).order_by(JobRow.id).with_for_update(read=True)
    return set(session.execute(query).scalars())


def add(session: Session, job_id: str, roles: Mapping[str, str]) -> None:
    """Makes a job need others: id of each needed job -> the role that it has."""
    session.add_all(DependencyRow(job_id=job_id, needs_job_id=needed, role=role) for needed, role in roles.items())
    session.flush()


def needed(session: Session, job_id: str) -> list[JobRow]:
    """Every job that this one needs."""
    query = select(JobRow).join(DependencyRow, DependencyRow.needs_job_id == JobRow.id)
    return list(session.execute(query.where(DependencyRow.job_id == job_id)).scalars())


def took_values_from(session: Session, job_id: str) -> list[str]:
    """Ids of the jobs whose spec has a value of this one's result, ended ones too."""
    query = select(DependencyRow.job_id).where(DependencyRow.needs_job_id == job_id, DependencyRow.role == "from_job")
    return list(session.execute(query.order_by(DependencyRow.job_id)).scalars())


def unmet(session: Session, job_ids: Iterable[str]) -> dict[str, list[JobRow]]:
    """Each of these jobs that waits for others -> the jobs that it still waits for."""
    query = (
        select(DependencyRow.job_id, JobRow)
        .join(JobRow, JobRow.id == DependencyRow.needs_job_id)
        .where(DependencyRow.job_id.in_(list(job_ids)), JobRow.state != JobState.SUCCEEDED)
    )
    waits_for: dict[str, list[JobRow]] = {}
    for job_id, row in session.execute(query):
        waits_for.setdefault(job_id, []).append(row)
    return waits_for


def waiting_for(session: Session, job_id: str) -> list[JobRow]:
    """Jobs that wait for this one; locked, so that of two jobs that end at once the later one sees both ends."""
    query = (
        select(JobRow)
        .join(DependencyRow, DependencyRow.job_id == JobRow.id)
        .where(DependencyRow.needs_job_id == job_id, JobRow.state.in_([JobState.QUEUED, JobState.PAUSED]))
        .order_by(JobRow.id)
        .with_for_update(of=JobRow)
    )
    return list(session.execute(query).scalars())
