"""What killed workers left: files of attempts that are over, copies of deleted datasets, deleted searches' studies."""

import shutil
import time
from pathlib import Path

from sqlalchemy.orm import Session

from service.states import OWNED, JobState
from service.store import studies
from service.store.session import Store
from service.store.tables import DatasetRow, JobRow

HALF_FETCHED_SECONDS = 24 * 3600.0
"""A dataset that is still being fetched after this long is not being fetched any more."""


def clear(store: Store) -> None:
    """Removes what no attempt and no dataset of the database stands for; other workers may share this HOME."""
    with store.read() as session:
        forgotten = [job_id for job_id in studies.kept(store) if session.get(JobRow, job_id) is None]
        gone = [*_scratch(session, store.settings.home / "scratch"), *_copies(session, store.settings.home / "cache")]
    for folder in gone:
        shutil.rmtree(folder, ignore_errors=True)
    for job_id in forgotten:
        studies.remove(store, job_id)


def _scratch(session: Session, root: Path) -> list[Path]:
    return [folder for folder in root.glob("*/*") if not _is_running(session, folder.parent.name, folder.name)]


def _is_running(session: Session, job_id: str, attempt: str) -> bool:
    row = session.get(JobRow, job_id)
    return row is not None and JobState(row.state) in OWNED and str(row.attempt) == attempt


def _copies(session: Session, root: Path) -> list[Path]:
    found = root.glob("datasets/*")
    return [
        folder for folder in found if (_is_old(folder) if folder.name[0] == "." else not _is_known(session, folder))
    ]


def _is_known(session: Session, folder: Path) -> bool:
    return session.get(DatasetRow, folder.name) is not None


def _is_old(folder: Path) -> bool:
    return time.time() - folder.stat().st_mtime > HALF_FETCHED_SECONDS
