"""Where a search keeps its trials: storage of its own that every runner reaches and that is deleted as a whole."""

import shutil
from pathlib import Path
from uuid import UUID

from sqlalchemy import Connection, text

from service.store.session import Store

PREFIX = "study_"


def address(store: Store, job_id: str) -> str:
    """URL of the job's study, created when needed: a SQLite file under HOME, or a schema of its own in Postgres, since
    Optuna has tables of the same names.
    """
    if store.engine.dialect.name == "sqlite":
        path = file(store, job_id)
        path.parent.mkdir(parents=True, exist_ok=True)
        return f"sqlite:///{path}"
    schema = _schema(job_id)
    with store.engine.begin() as connection:
        connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {schema}"))
    url = store.engine.url.update_query_dict({"options": f"-csearch_path={schema}"})
    return url.render_as_string(hide_password=False)


def file(store: Store, job_id: str) -> Path:
    """Where the job's study is, or would be, on SQLite."""
    return _folder(store) / job_id / "study.db"


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
    with store.engine.begin() as connection:
        return [str(UUID(schema.removeprefix(PREFIX))) for schema in schemas(connection)]


def schemas(connection: Connection) -> list[str]:
    """The schemas in Postgres that hold a study each."""
    query = text("SELECT nspname FROM pg_namespace WHERE starts_with(nspname, :prefix) ORDER BY nspname")
    return list(connection.execute(query, {"prefix": PREFIX}).scalars())


def _folder(store: Store) -> Path:
    return store.settings.home / "studies"


def _schema(job_id: str) -> str:
    return PREFIX + UUID(job_id).hex
