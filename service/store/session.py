"""The database: one engine, short transactions, the database's own clock."""

import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic_core import PydanticSerializationError, to_json
from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    ExceptionContext,
    create_engine,
    event,
    func,
    make_url,
    or_,
    select,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import DataError
from sqlalchemy.orm import DeclarativeBase, InstrumentedAttribute, Session

from service.errors import InvalidRequestError
from service.settings import Settings
from service.states import Actor
from service.store.artifacts import open_artifacts
from service.store.artifacts.interface import ArtifactStore

BUSY_TIMEOUT_MILLISECONDS = 10_000
ACTOR = "actor"
"""Where a session's `info` says who acts."""
VACUUM_PAGES = 2_000
"""Free pages of SQLite's file (4 KiB each) that are given back at once: others wait as long as that takes."""
SPARE_PAGES = 250
"""Free pages that stay in the file for what is written next."""
POOL_SIZE = 10
"""Connections that stay open."""
PATIENCE_SECONDS = 5
"""A request that gets no connection within this time is refused, and sent again later."""


def make_engine(url: str, connections: int = 20) -> Engine:
    """An engine for SQLite (WAL, writers wait for each other), or for Postgres with so many connections at most."""
    parsed = make_url(url)
    shared = {"json_serializer": _to_json, "pool_timeout": PATIENCE_SECONDS}
    if parsed.get_backend_name() != "sqlite":
        size = min(connections, POOL_SIZE)
        engine = create_engine(
            parsed.update_query_dict({"connect_timeout": str(PATIENCE_SECONDS)} | dict(parsed.query)),
            pool_pre_ping=True,
            pool_size=size,
            max_overflow=connections - size,
            **shared,
        )
        event.listen(engine, "handle_error", _refuse_values)
        return engine
    if parsed.database:
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(
        parsed,
        connect_args={"timeout": BUSY_TIMEOUT_MILLISECONDS / 1000},
        pool_size=POOL_SIZE,
        max_overflow=40,  # more than the API has threads: they wait for the lock alone
        **shared,
    )
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _refuse_values(context: ExceptionContext) -> None:
    """Makes a refused request of what Postgres cannot store: a NUL in a text, a number beyond a column's range."""
    if isinstance(context.sqlalchemy_exception, DataError):
        raise InvalidRequestError(f"a value cannot be stored: {context.original_exception}")


def _to_json(value: object) -> str:
    """JSON that every database and client takes: null for what is not finite, `?` for what is no text."""
    try:
        return to_json(value, inf_nan_mode="null").decode()
    except (PydanticSerializationError, UnicodeError):
        return _to_json(json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")))


def _prepare_sqlite(connection: Any, _: object) -> None:
    connection.isolation_level = None  # SQLAlchemy begins transactions itself, see `_begin_sqlite`
    # Free pages can be given back, see `Store.checkpoint`; a new file takes this before its first page is written.
    connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
    # Before 3.51.3, processes that checkpoint at the same moment can lose a write: one does, see `Store.checkpoint`.
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", "wal_autocheckpoint=0"):
        connection.execute(f"PRAGMA {pragma}").fetchall()
    connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MILLISECONDS}").fetchall()


def _begin_sqlite(connection: Any) -> None:
    """A writer takes the lock at once: a transaction that reads first and writes later may fail as busy."""
    connection.exec_driver_sql(connection.get_execution_options().get("sqlite_begin", "BEGIN IMMEDIATE"))


def _make_private(folder: Path) -> None:
    """Makes a folder that nobody but its owner may enter; closes one that others could, if it is this user's."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = folder.stat()
    if status.st_uid == os.geteuid() and status.st_mode & 0o077:
        folder.chmod(0o700)


if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql


class Store:
    """The database, which is authoritative, and the artifact store."""

    def __init__(self, settings: Settings, actor: str | None = None) -> None:
        self.settings = settings
        self.actor = actor
        """Who acts in transactions that name nobody else."""
        _make_private(settings.home)
        self.engine = make_engine(settings.database, settings.database_connections)
        self._reader = self.engine.execution_options(sqlite_begin="BEGIN DEFERRED")
        self.artifacts: ArtifactStore = open_artifacts(settings, self.engine)

    @contextmanager
    def begin(self, actor: str | None = None) -> Iterator[Session]:
        """A short transaction that writes, for this actor; it commits at the end or rolls back."""
        info = {ACTOR: actor or self.actor}
        with Session(self.engine, expire_on_commit=False, info=info) as session, session.begin():
            yield session

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A short transaction that only reads; readers never wait for writers."""
        with Session(self._reader, expire_on_commit=False) as session, session.begin():
            yield session

    def checkpoint(self) -> None:
        """Gives some free pages of SQLite's file back, and moves its log into it.

        Only the process whose turn it is to sweep does this.
        """
        if self.engine.dialect.name != "sqlite":
            return
        with self.engine.connect().execution_options(sqlite_begin="SELECT 1") as connection:
            connection.exec_driver_sql("PRAGMA busy_timeout=500")
            with suppress(sqlite3.OperationalError):  # busy: the next sweep tries again
                _free_pages(connection)
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")  # busy: the next sweep tries again
            connection.exec_driver_sql(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MILLISECONDS}")

    def close(self) -> None:
        """Closes every connection."""
        self.engine.dispose()


def owned_by(owner: InstrumentedAttribute[str | None], name: str) -> ColumnElement[bool]:
    """Rows of this owner; those from before there were owners, and from a service without keys, are the admin's."""
    return or_(owner == name, owner.is_(None)) if name == Actor.ADMIN else owner == name


def actor_of(session: Session) -> str | None:
    """Name of the key, or the `Actor`, for whom the transaction writes; None where no keys are asked for."""
    name: str | None = session.info.get(ACTOR)
    return name


def _free_pages(connection: Connection) -> None:
    free = connection.exec_driver_sql("PRAGMA freelist_count").scalar_one() - SPARE_PAGES
    if free > 0:
        # As a script: each step of the statement frees one page, and `execute` makes only the first.
        connection.connection.executescript(f"PRAGMA incremental_vacuum({min(free, VACUUM_PAGES)})")


def now(session: Session) -> datetime:
    """The database's clock; SQLite has none of its own, its host's is the same."""
    if session.get_bind().dialect.name == "sqlite":
        return datetime.now(UTC)
    with session.no_autoflush:  # a row that is being filled in is not complete yet
        time: datetime = session.execute(select(func.clock_timestamp())).scalar_one()
    return time.astimezone(UTC)


def upsert(session: Session, table: type[DeclarativeBase]) -> "sqlite.Insert | postgresql.Insert":
    """An insert with `on_conflict_do_update`, which SQLite and Postgres spell alike."""
    if session.get_bind().dialect.name == "sqlite":
        return sqlite.insert(table)
    from sqlalchemy.dialects import postgresql  # a twentieth of the API's import time, for those who do not use it

    return postgresql.insert(table)
