"""Deletes what killed workers left: scratch files, copies of deleted datasets, studies of deleted searches."""

import shutil
import time
from pathlib import Path

from sqlalchemy.orm import Session

from service.states import OWNED, JobState
from service.store import studies
from service.store.session import Store
from service.store.tables import DatasetRow, JobRow

ABANDONED_SECONDS = 24 * 3600.0
"""Age at which a half-fetched dataset counts as abandoned."""


def clean_up(store: Store) -> None:
    """Deletes what belongs to no running attempt, dataset or job; other workers may share this HOME."""
    with store.read() as session:
        orphans = [job_id for job_id in studies.kept(store) if session.get(JobRow, job_id) is None]
        folders = _scratch(session, store.settings.home / "scratch") + _copies(session, store.settings.home / "cache")
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
    for job_id in orphans:
        studies.remove(store, job_id)


def _scratch(session: Session, root: Path) -> list[Path]:
    return [folder for folder in root.glob("*/*") if not _is_running(session, folder.parent.name, folder.name)]


def _is_running(session: Session, job_id: str, attempt: str) -> bool:
    row = session.get(JobRow, job_id)
    return row is not None and JobState(row.state) in OWNED and str(row.attempt) == attempt


def _copies(session: Session, root: Path) -> list[Path]:
    return [folder for folder in root.glob("datasets/*") if not _is_used(session, folder)]


def _is_used(session: Session, folder: Path) -> bool:
    if folder.name.startswith("."):  # being fetched
        return time.time() - folder.stat().st_mtime <= ABANDONED_SECONDS
    return session.get(DatasetRow, folder.name) is not None
