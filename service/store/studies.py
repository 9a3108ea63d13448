"""Where a search keeps its trials: storage of its own that every runner reaches and that is deleted as a whole."""

import shutil
from pathlib import Path
from uuid import UUID

from sqlalchemy import text

from service.store.session import Store

PREFIX = "study_"


def address(store: Store, job_id: str) -> str:
    """URL of the job's study, created when needed: a SQLite file under HOME, or a schema of its own in Postgres, since
    Optuna has tables of the same names.
    """
    if store.engine.dialect.name == "sqlite":
        folder = _folder(store) / job_id
        folder.mkdir(parents=True, exist_ok=True)
        return f"sqlite:///{folder}/study.db"
    schema = _schema(job_id)
    with store.engine.begin() as connection:
        connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {schema}"))
    url = store.engine.url.update_query_dict({"options": f"-csearch_path={schema}"})
    return url.render_as_string(hide_password=False)


def remove(store: Store, job_id: str) -> None:
    """Deletes the job's study, if it has one."""
    if store.engine.dialect.name == "sqlite":
        shutil.rmtree(_folder(store) / job_id, ignore_errors=True)
        return
    with store.engine.begin() as connection:
        connection.execute(text(f"DROP SCHEMA IF EXISTS {_schema(job_id)} CASCADE"))


def kept(store: Store) -> list[str]:
    """Ids of the jobs that have a study."""
    if store.engine.dialect.name == "sqlite":
        return [folder.name for folder in _folder(store).glob("*")]
    query = text("SELECT nspname FROM pg_namespace WHERE starts_with(nspname, :prefix)")
    with store.engine.begin() as connection:
        names = connection.execute(query, {"prefix": PREFIX}).scalars().all()
    return [str(UUID(name.removeprefix(PREFIX))) for name in names]


def _folder(store: Store) -> Path:
    return store.settings.home / "studies"


def _schema(job_id: str) -> str:
    return PREFIX + UUID(job_id).hex
