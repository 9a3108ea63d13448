"""The API as a real server on a real store; jobs move as a worker would move them.

One server serves all tests, each of which finds an empty store; a test that breaks the database asks for
`server_to_break`.
"""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from service.settings import Settings
from service.store.session import Store
from service.store.tables import Base
from tests.service.api.notifications import Notifications
from tests.service.api.server import Server

QUEUE_LENGTH = 12
LONG_SECONDS = 3600.0


def small(home: Path, database_url: str) -> Settings:
    """Settings with small limits, whose broker is not there, and that never sweep on their own."""
    return Settings(
        home=home,
        database_url=database_url,
        max_upload_bytes=10 * 2**20,
        max_queue_length=QUEUE_LENGTH,
        sweep_seconds=LONG_SECONDS,
    )


@pytest.fixture(scope="session")
def shared_notifications() -> Notifications:
    """What the shared server notifies workers of."""
    return Notifications()


@pytest.fixture(scope="session")
def shared_server(sqlite_template: Path, shared_notifications: Notifications) -> Iterator[Server]:
    """The server that all tests use."""
    home = Path(tempfile.mkdtemp(prefix="tw-api-"))
    shutil.copyfile(sqlite_template, home / "trainwright.db")
    with Server(small(home, f"sqlite:///{home}/trainwright.db"), shared_notifications.notify) as running:
        yield running
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def server(shared_server: Server) -> Server:
    """The shared server, with nothing stored."""
    with shared_server.store.begin() as session:
        for table in reversed(Base.metadata.sorted_tables):
            session.execute(table.delete())
    for folder in ("artifacts", "uploads"):
        shutil.rmtree(shared_server.store.settings.home / folder, ignore_errors=True)
    shared_server.services.statistics.counts.clear()
    return shared_server


@pytest.fixture
def notifications(shared_notifications: Notifications) -> Notifications:
    """What workers were notified of."""
    return shared_notifications


@pytest.fixture
def server_to_break(database_url: str, home: Path) -> Iterator[Server]:
    """A server of its own, on each kind of database."""
    with Server(small(home, database_url), Notifications().notify) as running:
        yield running


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    """A client of the API."""
    with client_of(server) as opened:
        yield opened


def client_of(server: Server) -> httpx.Client:
    """A client that may hold many connections."""
    return httpx.Client(base_url=server.url, timeout=60, limits=httpx.Limits(max_connections=200))


@pytest.fixture
def store(server: Server) -> Store:
    """The store behind the API."""
    return server.store
