"""The schema changes only through Alembic; the service neither starts on one that is not current nor writes to it."""

import logging
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Engine, inspect, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

import migrations
from service.errors import SchemaError

if TYPE_CHECKING:
    from alembic.config import Config

logger = logging.getLogger(__name__)
INCREMENTAL = 2
"""Of SQLite's `auto_vacuum`."""

VERSION_TABLE = "alembic_version"
# Alembic takes a fifth of the API's import time, so it is imported where it is used.


def _config(engine: Engine | None = None) -> "Config":
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    config.attributes["engine"] = engine
    return config


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Brings the database to the revision, by default this code's schema; does nothing when it is there already."""
    from alembic import command

    command.upgrade(_config(engine), revision)
    if engine.dialect.name == "sqlite":
        _let_shrink(engine)


def _let_shrink(engine: Engine) -> None:
    """Rewrites an old SQLite file, once, so that it can give free pages back; where that fails it stays as it is."""
    with engine.connect().execution_options(sqlite_begin="SELECT 1") as connection:
        connection.execute(
            text("SELECT count(*) FROM sqlite_master")
        )  # the file's own setting is known once it is read
        if connection.exec_driver_sql("PRAGMA auto_vacuum").scalar_one() == INCREMENTAL:
            return
        try:
            connection.exec_driver_sql("VACUUM")
        except OperationalError as error:
            logger.warning("the database file cannot shrink yet: %s; `trainwright migrate` tries again", error.orig)


@cache
def _revisions() -> tuple[str, ...]:
    """The schemas that this program knows, the newest, which it needs, first."""
    from alembic.script import ScriptDirectory

    return tuple(script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions())


def newest() -> str:
    """The schema that this program needs."""
    return _revisions()[0]


def knows(revision: str) -> bool:
    """Whether this program can bring a database at that revision to its own schema."""
    return revision in _revisions()


def check_schema(engine: Engine) -> None:
    """Raises SchemaError unless the database's schema is the one this program needs."""
    with Session(engine.execution_options(sqlite_begin="BEGIN DEFERRED")) as session:
        if not inspect(session.connection()).has_table(VERSION_TABLE):
            raise _skew(None)
        refuse_skew(session)


def refuse_skew(session: Session) -> None:
    """SchemaError when another version's program has migrated the database meanwhile: one query, for who will write."""
    current = session.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar_one_or_none()
    if current != newest():
        raise _skew(current)


def _skew(current: str | None) -> SchemaError:
    program = f"this program (version {version('trainwright')}) needs {newest()}"
    if current is None or knows(current):
        return SchemaError(f"the database's schema is at {current or 'nothing'}, {program}: run `trainwright migrate`")
    return SchemaError(f"the database's schema is at {current}, which is newer, {program}: upgrade the program")
