"""The dashboard in a real browser; on a machine without Chromium there is nothing to look with."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.settings import Settings
from tests.browser.chromium import PATH, Chromium
from tests.service.api.notifications import Notifications
from tests.service.api.server import Server
from tests.service.simulated_worker import SimulatedWorker

collect_ignore_glob = [] if PATH else ["test_*.py"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Chromium]:
    """One browser for all pages."""
    with Chromium() as opened:
        yield opened


@pytest.fixture
def site(sqlite_url: str, home: Path) -> Iterator[Server]:
    """A running service."""
    with Server(Settings(home=home, database_url=sqlite_url), Notifications().notify) as running:
        yield running


@pytest.fixture
def worker(site: Server) -> SimulatedWorker:
    """A worker behind the site."""
    return SimulatedWorker(site.store)
