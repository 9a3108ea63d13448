"""A search and a runner beside it, each in its own process under its own supervisor, on each kind of database."""

import os
import signal
from collections.abc import Iterator

import pytest

from service.states import JobState
from service.store import studies
from service.store.session import Store
from tests.worker.attempt.attempts import Attempt
from tests.worker.attempt.searches import imported, runner_of, search, stopped_in_a_trial, trials
from tests.worker.attempt.store_client import StoreClient


@pytest.fixture
def client(store: Store) -> Iterator[StoreClient]:
    """Files in the database: another host would find them there."""
    opened = Store(store.settings.model_copy(update={"artifact_url": "database:", "stop_poll_seconds": 0.05}))
    yield imported(opened)
    opened.close()


@pytest.fixture
def other_host(client: StoreClient) -> Iterator[Store]:
    """With Postgres, a HOME of its own: nothing but the database is shared."""
    settings = client.store.settings
    is_alone = client.store.engine.dialect.name == "sqlite"
    opened = Store(settings if is_alone else settings.model_copy(update={"home": settings.home / "other"}))
    yield opened
    opened.close()


def test_the_best_trial_of_a_runner_becomes_the_searchs_own(client: StoreClient, other_host: Store) -> None:
    """The search hangs in its first trial, the worst, until the runner has run all others."""
    job_id = search(client, n_trials=6, epochs=40)
    with Attempt(client.store, job_id) as own:
        child = own.child()
        assert stopped_in_a_trial(client, job_id, "main", child) == 0
        runner = runner_of(client, job_id)
        Attempt(other_host, runner, "w2").run()
        assert client.job(runner).state == JobState.SUCCEEDED, client.job(runner).error
        os.kill(child, signal.SIGCONT)
        own.end()
    row = client.job(job_id)
    assert row.state == JobState.SUCCEEDED, row.error
    ended = trials(client, job_id)
    assert [trial["runner"] for trial in ended] == ["main"] + ["runner-2"] * 5
    assert all(len(client.series(job_id)[f"trial/{trial['number']}/val/accuracy"]) == 40 for trial in ended)
    best = client.report(job_id)["best"]
    assert best["runner"] == "runner-2"
    assert client.report(job_id, "best")["best"]["accuracy"] == best["value"]
    assert client.files(job_id, "last")[0][0] == f"trial-{best['number']:05d}.pt"
    assert not any("trained again here" in event.data["message"] for event in client.events(job_id, "log"))
    assert own.notified == [runner]


def test_a_search_finishes_alone_when_nobody_is_free(client: StoreClient) -> None:
    job_id = search(client, n_trials=3, parallelism=8)
    Attempt(client.store, job_id).run()
    row = client.job(job_id)
    assert row.state == JobState.SUCCEEDED, row.error
    assert len(client.report(job_id)["data"]) == 3
    runner = runner_of(client, job_id)
    assert client.states(runner) == [JobState.QUEUED, JobState.CANCELLED]
    studies.remove(client.store, job_id)
