"""A database that crashes under a running job: nothing that was acknowledged is lost, and the attempt goes on."""

import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import make_url

from service.settings import Settings
from service.states import JobState
from service.store.migrate import upgrade
from service.store.session import Store
from service.sweeper import run_forever
from tests.faults.campaign.proxy import SlowProxy
from tests.faults.postgres import Postgres
from tests.service.api.server import Server
from tests.worker.attempt.attempts import Attempt
from tests.worker.attempt.processes import WorkerProcess
from tests.worker.attempt.store_client import StoreClient

STEADY = {"epochs": 100, "early_stopping": None, "checkpoint": {"every_steps": 200}}


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
        job_id = client.submit(**STEADY)
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


def test_an_outage_past_the_lease_costs_no_attempt(client: StoreClient, postgres: Postgres) -> None:
    Attempt(client.store, client.create_digits()).run()
    settings = client.store.settings.model_copy(update={"lease_seconds": 2, "hold_seconds": 0.1, "max_attempts": 1})
    store, stop = Store(settings), threading.Event()
    sweeper = threading.Thread(target=run_forever, args=(store, list, stop))
    job_id = client.submit(**STEADY)
    with Attempt(store, job_id) as attempt:
        sweeper.start()
        client.seen(job_id, "checkpoint", role="last")
        postgres.crash()
        time.sleep(settings.lease_seconds + 1)
        postgres.start()
        assert attempt.end() == []
    stop.set()
    sweeper.join()
    row = client.job(job_id)
    assert (row.state, row.lost_attempts, row.hold_reason) == (JobState.QUEUED, 0, "the database did not answer")
    time.sleep(settings.hold_seconds)
    Attempt(store, job_id).run()
    store.close()
    row = client.job(job_id)
    assert (row.state, row.lost_attempts, row.resume) == (JobState.SUCCEEDED, 0, "exact")
    steps = [step for step, _ in client.series(job_id)["train/loss"]]
    assert steps == list(range(1, client.report(job_id)["steps"] + 1))


def test_a_slow_database_slows_jobs_and_requests_and_nothing_else(client: StoreClient, postgres: Postgres) -> None:
    Attempt(client.store, client.create_digits()).run()
    url = make_url(postgres.url)
    proxy = SlowProxy(f"{url.query['host']}/.s.PGSQL.5432")
    slow_url = url.set(host="127.0.0.1", port=proxy.port, query={}).render_as_string(hide_password=False)
    slow = StoreClient(Store(client.store.settings.model_copy(update={"database_url": slow_url, "lease_seconds": 6})))
    proxy.delay_seconds = 0.3
    job_id = client.submit(epochs=2)
    Attempt(slow.store, job_id).run()
    row = client.job(job_id)
    assert (row.state, row.attempt, row.lost_attempts, row.holds) == (JobState.SUCCEEDED, 1, 0, 0), row.error
    with Server(slow.store.settings, lambda _: True) as server:
        answer = httpx.post(f"{server.url}/v1/jobs", json={"kind": "train", "dataset": "digits"}, timeout=60)
    assert answer.status_code in (202, 503)
    slow.store.close()
    proxy.close()
