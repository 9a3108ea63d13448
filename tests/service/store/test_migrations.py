"""The schema: migrations and tables agree, an old schema is refused with what to run."""

from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from service.errors import SchemaError
from service.store.migrate import check_schema, upgrade
from service.store.session import make_engine
from service.store.tables import Base


@pytest.fixture
def engine(empty_database_url: str) -> Iterator[sa.Engine]:
    """An engine on a database without tables."""
    made = make_engine(empty_database_url)
    yield made
    made.dispose()


def test_empty_database_is_refused_with_what_to_run(engine: sa.Engine) -> None:
    with pytest.raises(SchemaError, match="trainwright migrate"):
        check_schema(engine)


def test_upgrade_makes_what_the_tables_say(engine: sa.Engine) -> None:
    upgrade(engine)
    check_schema(engine)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


def test_upgrade_twice_changes_nothing(engine: sa.Engine) -> None:
    upgrade(engine)
    upgrade(engine)
    check_schema(engine)


def test_newer_schema_is_refused(engine: sa.Engine) -> None:
    upgrade(engine)
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(SchemaError, match="9999"):
        check_schema(engine)


def test_sqlite_waits_for_writers_and_keeps_a_log(sqlite_url: str) -> None:
    engine = make_engine(sqlite_url)
    pragmas = {
        "journal_mode": "wal",
        "busy_timeout": 10000,
        "foreign_keys": 1,
        "synchronous": 1,
        "wal_autocheckpoint": 0,
    }
    with engine.connect() as connection:
        found = {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one() for name in pragmas}
        assert found == pragmas
        tables = "SELECT name FROM sqlite_master WHERE sql LIKE '%WITHOUT ROWID%' ORDER BY name"
        assert "metric_chunks" in list(connection.exec_driver_sql(tables).scalars())
    engine.dispose()
