"""The rows that name files; a file counts only once a row names it."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import CompoundSelect, func, select, union_all
from sqlalchemy.orm import Session, aliased

from service.errors import FilesDeletedError, NotReadyError
from service.ids import new_id
from service.states import TERMINAL, JobState, Relation
from service.store import events
from service.store.artifacts.interface import StoredFile
from service.store.session import now
from service.store.tables import DependencyRow, FileRow, JobRow, WeightsRow

KEEP_LAST = 2
"""Resume checkpoints that are kept."""
DELETED = "files-deleted"
"""Type of the event that a deletion of all files of a job leaves: `actor`, `reason`, `bytes`."""
OPEN = [str(state) for state in JobState if state not in TERMINAL]


def put(
    session: Session,
    owner_id: str,
    name: str,
    role: str,
    stored: StoredFile,
    *,
    step: int = 0,
    epoch: int = 0,
    metrics: dict[str, Any] | None = None,
) -> str | None:
    """Names a stored file; returns the artifact key of the file it replaces, to delete after commit."""
    row = session.execute(
        select(FileRow).where(FileRow.owner_id == owner_id, FileRow.name == name)
    ).scalar_one_or_none()
    replaced = None if row is None or row.artifact == stored.key else row.artifact
    if row is None:
        row = FileRow(id=new_id(), owner_id=owner_id, name=name)
        session.add(row)
    row.role, row.artifact, row.size, row.sha256 = role, stored.key, stored.size, stored.sha256
    row.step, row.epoch, row.metrics, row.created_at = step, epoch, metrics or {}, now(session)
    session.flush()
    return replaced


def of(session: Session, owner_id: str, role: str | None = None) -> list[FileRow]:
    """Files of a job or dataset, the newest first."""
    query = select(FileRow).where(FileRow.owner_id == owner_id).order_by(FileRow.step.desc(), FileRow.id.desc())
    return list(session.execute(query.where(FileRow.role == role) if role else query).scalars())


def named(session: Session, owner_id: str, name: str) -> FileRow:
    """The file of that name; NotReadyError when there is none, FilesDeletedError when the job's were deleted."""
    row = session.execute(
        select(FileRow).where(FileRow.owner_id == owner_id, FileRow.name == name)
    ).scalar_one_or_none()
    if row is not None:
        return row
    if event := events.last_of_type(session, [owner_id], DELETED).get(owner_id):
        when, by = event.time.isoformat(timespec="seconds"), event.data["actor"]
        raise FilesDeletedError(f"the files of this job were deleted at {when} by {by}: {event.data['reason']}")
    raise NotReadyError(f"there is no file `{name}`")


def sizes(session: Session, owner_ids: Iterable[str]) -> dict[str, dict[str, int]]:
    """Each of these jobs or datasets that has files -> bytes by role."""
    query = select(FileRow.owner_id, FileRow.role, func.sum(FileRow.size))
    query = query.where(FileRow.owner_id.in_(list(owner_ids))).group_by(FileRow.owner_id, FileRow.role)
    sizes_of: dict[str, dict[str, int]] = {}
    for owner_id, role, size in session.execute(query):
        sizes_of.setdefault(owner_id, {})[role] = int(size)
    return sizes_of


def sizes_by_role(session: Session) -> dict[str, int]:
    """Bytes of all files by role."""
    query = select(FileRow.role, func.sum(FileRow.size)).group_by(FileRow.role).order_by(FileRow.role)
    return {role: int(size) for role, size in session.execute(query)}


def uses() -> CompoundSelect[str, str]:
    """Who needs whose files: (`owner_id` of a job, dataset or weights, `job_id` of an open job), every such pair.

    An open job needs its own files, its dataset's and its start weights', those of the jobs that its spec names, of the
    job that it is made from or belongs to, and of the parts of its work.
    """
    is_open, part = JobRow.state.in_(OPEN), aliased(JobRow)
    uploads = [JobRow.spec[*path, "model", "weights", "upload"].as_string() for path in ((), ("train",))]
    return union_all(
        select(JobRow.id.label("owner_id"), JobRow.id.label("job_id")).where(is_open),
        select(JobRow.dataset_id, JobRow.id).where(is_open, JobRow.dataset_id.is_not(None)),
        select(DependencyRow.needs_job_id, JobRow.id).join(JobRow, JobRow.id == DependencyRow.job_id).where(is_open),
        select(JobRow.parent_id, JobRow.id).where(is_open, JobRow.parent_id.is_not(None)),
        select(part.id, JobRow.id)
        .join(JobRow, JobRow.id == part.parent_id)
        .where(is_open, part.relation == Relation.CHILD),
        *(
            select(WeightsRow.id, JobRow.id)
            .join(WeightsRow, upload.in_([WeightsRow.id, WeightsRow.name]))
            .where(is_open)
            for upload in uploads
        ),
    )


def users(session: Session, owner_ids: Iterable[str]) -> dict[str, list[str]]:
    """Each of these jobs, datasets or weights that is needed -> ids of the open jobs that need it."""
    pairs = uses().subquery()
    query = select(pairs.c.owner_id, pairs.c.job_id).where(pairs.c.owner_id.in_(list(owner_ids))).distinct()
    users_of: dict[str, list[str]] = {}
    for owner_id, job_id in session.execute(query.order_by(pairs.c.job_id)):
        users_of.setdefault(owner_id, []).append(job_id)
    return users_of


def needed(session: Session, keys: Sequence[str]) -> set[str]:
    """Those of some hundred artifact keys that are needed: a row names the file, or an open job needs its owner's.

    Keys are `jobs/<job id>/...`, `datasets/<dataset id>/...`, `weights/<id>/...` and `uploads/<id>`.
    """
    owner_of = {key: key.split("/")[1] for key in keys}
    needed_owners = users(session, owner_of.values())
    artifact, is_open = JobRow.spec["source", "artifact"].as_string(), JobRow.state.in_(OPEN)
    return {
        *session.execute(select(FileRow.artifact).where(FileRow.artifact.in_(keys))).scalars(),
        *session.execute(select(artifact).where(JobRow.kind == "import", is_open, artifact.in_(keys))).scalars(),
        *(key for key, owner in owner_of.items() if owner in needed_owners),
    }


def failed_uploads(session: Session, keys: Sequence[str], within_seconds: float) -> set[str]:
    """Those of some hundred uploads whose import failed lately: a revision of the dataset may go on from them."""
    artifact, since = JobRow.spec["source", "artifact"].as_string(), now(session) - timedelta(seconds=within_seconds)
    failed = select(artifact).where(JobRow.kind == "import", JobRow.state == JobState.FAILED)
    return set(session.execute(failed.where(JobRow.finished_at > since, artifact.in_(keys))).scalars())


def all_named(session: Session) -> dict[str, str | None]:
    """Every artifact key that the rows of files name -> its SHA-256; None for an upload that waits for its import."""
    upload = JobRow.spec["source", "artifact"].as_string()
    uploads = select(upload).where(JobRow.kind == "import", JobRow.state.in_(OPEN), upload.is_not(None))
    hashes = session.execute(select(FileRow.artifact, FileRow.sha256)).all()
    return {**dict.fromkeys(session.execute(uploads).scalars()), **dict(hashes)}


def prune(session: Session, owner_id: str) -> list[str]:
    """Deletes all but the last two resume checkpoints' rows; returns their artifact keys, to delete after commit."""
    old = of(session, owner_id, "last")[KEEP_LAST:]
    for row in old:
        session.delete(row)
    session.flush()
    return [row.artifact for row in old]


def remove(session: Session, owner_id: str) -> None:
    """Deletes every row of a job or dataset."""
    for row in of(session, owner_id):
        session.delete(row)
    session.flush()
