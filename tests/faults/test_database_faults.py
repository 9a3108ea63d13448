"""A database that crashes under a running job: nothing that was acknowledged is lost, and the attempt goes on."""

import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.settings import Settings
from service.states import JobState
from service.store.migrate import upgrade
from service.store.session import Store
from tests.faults.postgres import Postgres
from tests.worker.attempt.processes import WorkerProcess
from tests.worker.attempt.store_client import StoreClient


@pytest.fixture
def postgres() -> Iterator[Postgres]:
    """Its folder's name is short, for the unix socket in it."""
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    server = Postgres(folder)
    yield server
    server.end()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def client(postgres: Postgres, home: Path, broker_url: str) -> Iterator[StoreClient]:
    """A migrated store on it; everything lies in the database, files too."""
    settings = Settings(
        home=home,
        database_url=postgres.url,
        broker_url=broker_url,
        artifact_url="database:",
        lease_seconds=60,
        sweep_seconds=0.3,
        renotify_seconds=0.3,
    )
    store = Store(settings)
    upgrade(store.engine)
    yield StoreClient(store)
    store.close()


def test_a_job_goes_on_when_its_database_comes_back(client: StoreClient, postgres: Postgres) -> None:
    with WorkerProcess(client.store) as worker:
        assert client.ended(client.create_digits()).state == JobState.SUCCEEDED, worker.log
        job_id = client.submit(epochs=100, early_stopping=None, checkpoint={"every_steps": 200})
        client.notify(job_id)
        client.seen(job_id, "checkpoint", role="last")
        acknowledged = client.series(job_id)["train/loss"]
        assert client.job(job_id).phase == "training"
        postgres.crash()
        time.sleep(1.5)  # the training goes on meanwhile
        postgres.start()
        row = client.ended(job_id)
        assert (row.state, row.attempt, row.lost_attempts) == (JobState.SUCCEEDED, 1, 0), worker.log
        losses = client.series(job_id)["train/loss"]
        assert losses[: len(acknowledged)] == acknowledged
        assert [step for step, _ in losses] == list(range(1, client.report(job_id)["steps"] + 1))
        assert client.ended(client.submit(epochs=1)).state == JobState.SUCCEEDED, worker.log
