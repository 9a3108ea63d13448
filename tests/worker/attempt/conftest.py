"""Jobs on real training processes: a HOME with the digits imported, copied for each test."""

import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.settings import Settings
from service.store.session import Store
from tests.worker.attempt.attempts import Attempt
from tests.worker.attempt.store_client import StoreClient
from worker.attempt.training_process import start_forkserver


@pytest.fixture(scope="session", autouse=True)
def forkserver() -> None:
    """Training processes are forked from a server that has torch, as in a worker."""
    start_forkserver()


@pytest.fixture(scope="session")
def digits_home(sqlite_template: Path) -> Iterator[Path]:
    """A HOME whose SQLite database and artifacts hold the imported digits."""
    folder = Path(tempfile.mkdtemp(prefix="tw-"))
    shutil.copyfile(sqlite_template, folder / "trainwright.db")
    store = Store(Settings(home=folder))
    client = StoreClient(store)
    Attempt(store, client.create_digits()).run()
    store.close()
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def settings(digits_home: Path, home: Path) -> Settings:
    """A HOME of the test's own with the digits in it, and short times."""
    shutil.copytree(digits_home, home, dirs_exist_ok=True)
    return Settings(home=home, lease_seconds=6, stop_poll_seconds=0.05, sweep_seconds=0.2, renotify_seconds=0.2)


@pytest.fixture
def client(settings: Settings) -> Iterator[StoreClient]:
    """Submits jobs and reads what became of them."""
    store = Store(settings)
    yield StoreClient(store)
    store.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("lease-")]
