"""The schema: migrations and tables agree, an old schema is refused with what to run."""

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from service.errors import SchemaError
from service.jobs import transitions
from service.settings import Settings
from service.states import JobState
from service.store import jobs
from service.store.migrate import check_schema, upgrade
from service.store.session import Store, make_engine
from service.store.tables import Base
from service.sweeper import sweep
from tests.service.conftest import Harness, spec

ROOT = Path(__file__).resolve().parents[3]
OLD, FAR = datetime(2026, 1, 1, tzinfo=UTC), datetime(2999, 1, 1, tzinfo=UTC)
OLD_JOBS: dict[str, dict[str, Any]] = {
    "train": {"kind": "train", "state": "succeeded"},
    "clone": {"kind": "train", "state": "queued", "parent_id": "train", "rung_at": OLD},
    "lost": {"kind": "train", "state": "running", "attempt": 1, "owner": "w1", "lease_until": OLD, "rung_at": OLD},
    "search": {"kind": "tune", "state": "running", "attempt": 1, "owner": "w2", "lease_until": FAR},
    "runner": {"kind": "tune-runner", "state": "queued", "parent_id": "search"},
}
"""Jobs as the schema 0001 kept them, by id."""


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


@pytest.fixture
def old_store(empty_database_url: str, home: Path) -> Iterator[Store]:
    """A database that the schema 0001 made and filled, brought to the current one."""
    store = Store(Settings(home=home, database_url=empty_database_url))
    upgrade(store.engine, "0001")
    tables = sa.MetaData()
    tables.reflect(store.engine)
    common = {"spec": spec().model_dump(mode="json"), "progress": 0, "priority": 0, "labels": {}, "lost_attempts": 0}
    common |= {"attempt": 0, "next_seq": 1, "created_at": OLD}
    with store.engine.begin() as connection:
        for job_id, values in OLD_JOBS.items():
            connection.execute(tables.tables["jobs"].insert().values(id=job_id, **common | values))
        connection.execute(tables.tables["job_labels"].insert().values(job_id="clone", key="team", value="a"))
    upgrade(store.engine)
    yield store
    store.close()


def test_old_jobs_keep_worker_and_notification_and_get_a_relation(old_store: Store) -> None:
    harness = Harness(old_store)
    relations = {job_id: harness.job(job_id).relation for job_id in OLD_JOBS}
    assert relations == {"train": None, "clone": "follow-up", "lost": None, "search": None, "runner": "child"}
    assert [harness.job(job_id).worker_id for job_id in ("clone", "lost", "search")] == [None, "w1", "w2"]
    assert [harness.job(job_id).notified_at for job_id in ("clone", "lost", "runner")] == [OLD, OLD, None]
    with old_store.read() as session:
        assert [row.id for row in jobs.list_page(session, label=["team=a"])[0]] == ["clone"]


def test_old_jobs_run_on(old_store: Store) -> None:
    harness = Harness(old_store)
    harness.end(harness.claim("clone"))
    notified: list[str] = []
    assert sweep(old_store, notified.extend)
    assert (harness.state("lost"), harness.job("lost").lost_attempts) == (JobState.QUEUED, 1)
    assert sorted(notified) == ["lost", "runner"]
    assert harness.claim("lost", "w3").attempt == 2
    with old_store.begin() as session:
        transitions.request_cancel(session, "search")
    assert harness.state("runner") == JobState.CANCELLED


def test_an_older_schema_is_refused_with_what_to_run(engine: sa.Engine) -> None:
    upgrade(engine, "0002")
    with pytest.raises(SchemaError, match=r"at 0002, .* run `trainwright migrate`"):
        check_schema(engine)


def test_a_newer_schema_is_refused_and_the_program_is_to_be_upgraded(engine: sa.Engine) -> None:
    upgrade(engine)
    set_revision(engine, "9999")
    with pytest.raises(SchemaError, match=r"at 9999, which is newer, .* upgrade the program"):
        check_schema(engine)


@pytest.mark.parametrize("revision", ["0001", "9999"])
def test_no_job_is_claimed_or_swept_while_the_schema_is_another_versions(harness: Harness, revision: str) -> None:
    job_id, current = harness.submit(), current_revision(harness.store.engine)
    set_revision(harness.store.engine, revision)
    try:
        with pytest.raises(SchemaError, match=revision):
            harness.claim(job_id)
        with pytest.raises(SchemaError, match=revision):
            sweep(harness.store, lambda _: None)
        assert harness.state(job_id) == JobState.QUEUED
    finally:
        set_revision(harness.store.engine, current)
    assert harness.claim(job_id).attempt == 1


def set_revision(engine: sa.Engine, revision: str) -> None:
    """What another version's `trainwright migrate` would note."""
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = :revision"), {"revision": revision})


def current_revision(engine: sa.Engine) -> str:
    """The revision that the database is at."""
    with engine.connect() as connection:
        revision: str = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar_one()
    return revision


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
        values = {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one() for name in pragmas}
        assert values == pragmas
        tables = "SELECT name FROM sqlite_master WHERE sql LIKE '%WITHOUT ROWID%' ORDER BY name"
        assert "metric_chunks" in list(connection.exec_driver_sql(tables).scalars())
    engine.dispose()


def test_four_processes_that_migrate_at_once_wait_for_each_other(empty_database_url: str, engine: sa.Engine) -> None:
    program = (
        f"from service.store import migrate, session; migrate.upgrade(session.make_engine({empty_database_url!r}))"
    )
    started = [subprocess.Popen([sys.executable, "-c", program], cwd=ROOT) for _ in range(4)]
    assert [process.wait(120) for process in started] == [0, 0, 0, 0]
    check_schema(engine)
