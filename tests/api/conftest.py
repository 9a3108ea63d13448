"""The API as a real server on a real store; jobs move as a worker would move them."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from service.settings import Settings
from service.store.session import Store
from tests.api.bell import Bell
from tests.api.server import Server
from tests.api.world import World


@pytest.fixture
def settings(sqlite_url: str, home: Path) -> Settings:
    """Settings of a service on SQLite, with small limits; nobody listens at its broker's address."""
    return Settings(home=home, database_url=sqlite_url, max_upload_bytes=10 * 2**20, max_queue_length=12)


@pytest.fixture
def bell() -> Bell:
    """Who was rung for."""
    return Bell()


@pytest.fixture
def server(settings: Settings, bell: Bell) -> Iterator[Server]:
    """The service on a free port."""
    with Server(settings, bell.ring) as running:
        yield running


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    """A client of the API."""
    with httpx.Client(base_url=server.url, timeout=60, limits=httpx.Limits(max_connections=200)) as opened:
        yield opened


@pytest.fixture
def store(server: Server) -> Store:
    """The store behind the API."""
    return server.store


@pytest.fixture
def world(store: Store) -> World:
    """What happens beside the API: workers, imports."""
    return World(store)
