"""How many bytes of what the service keeps."""

import shutil

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from service.reports.operations import StorageReport
from service.store import files
from service.store.artifacts.database import DatabaseStore
from service.store.session import Store


def storage(store: Store) -> StorageReport:
    """Bytes by kind; no byte counts twice."""
    with store.read() as session:
        by_role = files.sizes_by_role(session)
        database, free = _database_bytes(session)
    in_database = sum(by_role.values()) if isinstance(store.artifacts, DatabaseStore) else 0
    return StorageReport(
        bytes_by_kind=by_role | {"records": max(database - free - in_database, 0), "free": free},
        disk_free=shutil.disk_usage(store.settings.home).free,
    )


def _database_bytes(session: Session) -> tuple[int, int]:
    """Bytes of the whole database, and those of them that hold nothing; Postgres does not tell the latter."""
    if session.get_bind().dialect.name != "sqlite":
        return session.execute(select(func.pg_database_size(func.current_database()))).scalar_one(), 0
    size, pages, free = (
        session.execute(text(f"PRAGMA {name}")).scalar_one() for name in ("page_size", "page_count", "freelist_count")
    )
    return size * pages, size * free
