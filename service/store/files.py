"""The rows that name files; a file counts only once a row names it."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from service.errors import NotReadyError
from service.ids import new_id
from service.states import TERMINAL
from service.store.artifacts.interface import StoredFile
from service.store.session import now
from service.store.tables import DatasetRow, FileRow, JobRow

KEEP_LAST = 2
"""Resume checkpoints that are kept."""


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
    """The file of that name; NotReadyError when there is none."""
    row = session.execute(
        select(FileRow).where(FileRow.owner_id == owner_id, FileRow.name == name)
    ).scalar_one_or_none()
    if row is None:
        raise NotReadyError(f"there is no file `{name}`")
    return row


def needed(session: Session, keys: Sequence[str]) -> set[str]:
    """Those of some hundred artifact keys that are needed: a row names the file, or an open job may name it yet.

    Keys are `jobs/<job id>/...`, `datasets/<dataset id>/...` and `uploads/<id>`.
    """
    is_open = JobRow.state.not_in([str(state) for state in TERMINAL])
    owner_of = {key: key.split("/")[1] for key in keys}
    importing = select(DatasetRow.id).join(JobRow, JobRow.id == DatasetRow.job_id)
    open_owners = {
        *session.execute(select(JobRow.id).where(JobRow.id.in_(owner_of.values()), is_open)).scalars(),
        *session.execute(importing.where(DatasetRow.id.in_(owner_of.values()), is_open)).scalars(),
    }
    artifact = JobRow.spec["source", "artifact"].as_string()
    return {
        *session.execute(select(FileRow.artifact).where(FileRow.artifact.in_(keys))).scalars(),
        *session.execute(select(artifact).where(JobRow.kind == "import", is_open, artifact.in_(keys))).scalars(),
        *(key for key, owner in owner_of.items() if owner in open_owners),
    }


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
