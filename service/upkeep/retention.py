"""Deletes the files, then the records, of ended jobs: of those that ended long ago, and the oldest of too many bytes.

Off unless the operator sets `keep_days` or `keep_bytes`. What an open job needs stays (see `files.uses`), and so does
the record of a job that another record's spec or a dataset refers to.
"""

import logging
from collections.abc import Iterator
from datetime import timedelta

from sqlalchemy import ColumnElement, Select, exists, func, select
from sqlalchemy.orm import Session

from service.errors import ConflictError, NotFoundError
from service.jobs import actions
from service.settings import Settings
from service.states import TERMINAL, Actor
from service.store import files
from service.store.session import Store, now
from service.store.tables import ChunkRow, DatasetRow, DependencyRow, FileRow, JobRow, SeriesRow

logger = logging.getLogger(__name__)
JOBS_PER_ROUND = 200
"""Jobs that lose their files, and jobs that lose their record, in one round; the next one goes on."""

# Runners go with their search.
_deletable = (
    JobRow.state.in_([str(state) for state in TERMINAL])
    & (JobRow.kind != "tune-runner")
    & JobRow.id.not_in(select(files.uses().subquery().c.owner_id))
)
_has_files = exists().where(FileRow.owner_id == JobRow.id)
_is_referenced = exists().where(DependencyRow.needs_job_id == JobRow.id) | exists().where(
    DatasetRow.job_id == JobRow.id
)
_file_bytes = func.coalesce(func.sum(FileRow.size), 0)
_series_bytes = func.coalesce(func.sum(func.length(ChunkRow.data) + func.coalesce(func.length(ChunkRow.sketch), 0)), 0)


def retain(store: Store) -> int:
    """One round; returns how many jobs lost their files or their record.

    No record goes before all files that are to go have gone.
    """
    settings = store.settings
    if settings.keep_days is None and settings.keep_bytes is None:
        return 0
    sizes = select(_file_bytes).where(FileRow.owner_id == JobRow.id)
    with store.read() as session:
        chosen = dict(_choose(session, settings, sizes, _has_files))
    for job_id, reason in chosen.items():
        _delete(store, job_id, reason, files_only=True)
    if len(chosen) >= JOBS_PER_ROUND:
        return len(chosen)
    sizes = select(_series_bytes).join(SeriesRow).where(SeriesRow.job_id == JobRow.id)
    with store.read() as session:
        records = dict(_choose(session, settings, sizes, ~_has_files & ~_is_referenced))
    for job_id, reason in records.items():
        _delete(store, job_id, reason, files_only=False)
    return len(chosen.keys() | records.keys())


def _choose(
    session: Session, settings: Settings, sizes: Select[int], condition: ColumnElement[bool]
) -> Iterator[tuple[str, str]]:
    """Ids of the jobs under this condition that are to be deleted, the oldest first, with the reason.

    `sizes` are the bytes that the deletion of a job frees.
    """
    candidates = select(JobRow.id, sizes.correlate(JobRow).scalar_subquery()).where(_deletable, condition)
    candidates = candidates.order_by(JobRow.finished_at, JobRow.id).limit(JOBS_PER_ROUND)
    excess = 0 if settings.keep_bytes is None else _bytes_of_ended_jobs(session) - settings.keep_bytes
    for job_id, size in session.execute(candidates) if excess > 0 else ():
        if excess > 0 and size > 0:
            excess -= size
            yield job_id, f"all ended jobs took more than {settings.keep_bytes} bytes (KEEP_BYTES)"
    if settings.keep_days is not None:
        is_old = JobRow.finished_at < now(session) - timedelta(days=settings.keep_days)
        for job_id, _ in session.execute(candidates.where(is_old)):
            yield job_id, f"it ended more than {settings.keep_days:g} days ago (KEEP_DAYS)"


def _bytes_of_ended_jobs(session: Session) -> int:
    """Bytes of the files and series that may be deleted."""
    in_files = select(_file_bytes).join(JobRow, JobRow.id == FileRow.owner_id).where(_deletable)
    in_series = select(_series_bytes).join(SeriesRow).join(JobRow, JobRow.id == SeriesRow.job_id).where(_deletable)
    return int(session.execute(in_files).scalar_one()) + int(session.execute(in_series).scalar_one())


def _delete(store: Store, job_id: str, reason: str, *, files_only: bool) -> None:
    try:
        if files_only:
            actions.delete_files(store, job_id, actor=Actor.RETENTION, reason=reason)
        else:
            actions.delete(store, job_id)
    except (ConflictError, NotFoundError):
        return  # it is needed again, or gone, since it was chosen
    logger.info("%s deleted the %s of job %s: %s", Actor.RETENTION, "files" if files_only else "record", job_id, reason)
