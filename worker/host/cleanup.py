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
    """Deletes what belongs to no running attempt, dataset or job; other workers may share this HOME.

    What there is is listed before the rows are read: what begins in between is not on the list.
    """
    home = store.settings.home
    kept, scratch, copies = studies.kept(store), list(home.glob("scratch/*/*")), list(home.glob("cache/datasets/*"))
    with store.read() as session:
        orphans = [job_id for job_id in kept if session.get(JobRow, job_id) is None]
        folders = [folder for folder in scratch if not _is_running(session, folder.parent.name, folder.name)]
        folders += [folder for folder in copies if not _is_used(session, folder)]
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
    for job_id in orphans:
        studies.remove(store, job_id)


def _is_running(session: Session, job_id: str, attempt: str) -> bool:
    row = session.get(JobRow, job_id)
    return row is not None and JobState(row.state) in OWNED and str(row.attempt) == attempt


def _is_used(session: Session, folder: Path) -> bool:
    if folder.name.startswith("."):  # being fetched
        try:
            return time.time() - folder.stat().st_mtime <= ABANDONED_SECONDS
        except FileNotFoundError:
            return True  # it has its name by now
    return session.get(DatasetRow, folder.name) is not None
