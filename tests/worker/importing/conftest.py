"""A folder of pictures, and a whole service for the tests that import over HTTP."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.settings import Settings
from tests.service.api.notifications import Notifications
from tests.service.api.server import Server
from tests.worker.importing.imports import FILES, write_folder
from tests.worker.importing.service import ImportService
from worker.attempt.training_process import start_forkserver


@pytest.fixture(scope="session")
def importer(sqlite_template: Path) -> Iterator[ImportService]:
    """A service that carries out imports in processes of their own; all tests share it, each with its own datasets."""
    start_forkserver()
    home = Path(tempfile.mkdtemp(prefix="tw-import-"))
    shutil.copyfile(sqlite_template, home / "trainwright.db")
    settings = Settings(home=home, data_roots=(home / "roots",), max_upload_bytes=2**27, sweep_seconds=3600.0)
    with Server(settings, Notifications().notify) as server:
        service = ImportService(server)
        yield service
        service.client.close()
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A folder of pictures of two classes."""
    return write_folder(tmp_path / "tree", FILES)
