"""Copies of a SQLite database and of the studies beside it, made by SQLite's online backup."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.orm import Session

from service.store import files, studies
from service.store.migrate import upgrade
from service.store.session import Store, make_engine
from service.upkeep import fencing

MAIN, STUDY = "trainwright.db", "study-"


def save(store: Store, folder: Path) -> dict[str, str | None]:
    """Copies the database in one snapshot, then the studies; returns the artifacts that the copy names.

    A study that is newer than the database is what a crash leaves too: a search goes on from it.
    """
    _save(_path(store), folder / MAIN)
    for job_id in studies.kept(store):
        try:
            _save(studies.file(store, job_id), folder / f"{STUDY}{job_id}.db")
        except sqlite3.OperationalError:
            if studies.file(store, job_id).exists():  # else it was deleted meanwhile, or is not made yet
                raise
    engine = sa.create_engine(f"sqlite:///{folder / MAIN}")
    with Session(engine) as session:
        named = files.all_named(session)
    engine.dispose()
    return named


def load(store: Store, folder: Path, schema: str) -> None:
    """Puts the copy in the database's place in one transaction; its attempts were fenced off in a file of its own."""
    for copy in folder.glob(f"{STUDY}*"):
        path = studies.file(store, copy.stem.removeprefix(STUDY))
        path.parent.mkdir(parents=True, exist_ok=True)
        _replace(copy, path)
    private = store.settings.home / "restoring.db"
    _replace(folder / MAIN, private)
    engine = make_engine(f"sqlite:///{private}")
    with engine.begin() as connection:
        fencing.raise_attempts(connection)
    upgrade(engine)
    engine.dispose()
    _copy(private, _path(store))
    private.unlink()


def _save(source: Path, target: Path) -> None:
    """One file without a log beside it."""
    _copy(source, target)
    with closing(sqlite3.connect(target)) as copy:
        copy.execute("PRAGMA journal_mode=DELETE")


def _replace(source: Path, target: Path) -> None:
    """A file of its own: who has the old one open writes into what nobody reads any more."""
    temporary = target.with_name(f".{target.name}.tmp")
    temporary.unlink(missing_ok=True)
    _copy(source, temporary)
    os.replace(temporary, target)


def _path(store: Store) -> Path:
    return Path(str(store.engine.url.database)).absolute()


def _copy(source: Path, target: Path) -> None:
    address = f"{source.as_uri()}?mode=ro"
    with closing(sqlite3.connect(address, uri=True)) as old, closing(sqlite3.connect(target)) as new:
        old.backup(new)
