"""A search and a runner beside it, each in its own process under its own supervisor, on each kind of database."""

import os
import signal
from collections.abc import Iterator

import pytest

from service.states import JobState
from service.store import studies
from service.store.session import Store
from tests.worker.attempt.attempts import Attempt
from tests.worker.attempt.deck import Deck
from tests.worker.attempt.searches import imported, runner_of, search, stopped_in_a_trial, trials


@pytest.fixture
def deck(store: Store) -> Iterator[Deck]:
    """Files in the database: another host would find them there."""
    opened = Store(store.settings.model_copy(update={"artifact_url": "database:", "stop_poll_seconds": 0.05}))
    yield imported(opened)
    opened.close()


@pytest.fixture
def other_host(deck: Deck) -> Iterator[Store]:
    """With Postgres, a HOME of its own: nothing but the database is shared."""
    settings = deck.store.settings
    is_alone = deck.store.engine.dialect.name == "sqlite"
    opened = Store(settings if is_alone else settings.model_copy(update={"home": settings.home / "other"}))
    yield opened
    opened.close()


def test_the_best_trial_of_a_runner_becomes_the_searchs_own(deck: Deck, other_host: Store) -> None:
    """The search hangs in its first trial, the worst, until the runner has run all others."""
    job_id = search(deck, n_trials=6, epochs=40)
    with Attempt(deck.store, job_id) as own:
        child = own.child()
        assert stopped_in_a_trial(deck, job_id, "main", child) == 0
        runner = runner_of(deck, job_id)
        Attempt(other_host, runner, "w2").run()
        assert deck.job(runner).state == JobState.SUCCEEDED, deck.job(runner).error
        os.kill(child, signal.SIGCONT)
        own.end()
    row = deck.job(job_id)
    assert row.state == JobState.SUCCEEDED, row.error
    found = trials(deck, job_id)
    assert [trial["runner"] for trial in found] == ["main"] + ["runner-2"] * 5
    assert all(len(deck.series(job_id)[f"trial/{trial['number']}/val/accuracy"]) == 40 for trial in found)
    best = deck.report(job_id)["best"]
    assert best["runner"] == "runner-2"
    assert deck.report(job_id, "best")["best"]["accuracy"] == best["value"]
    assert deck.files(job_id, "last")[0][0] == f"trial-{best['number']:05d}.pt"
    assert not any("trained again here" in event.data["message"] for event in deck.events(job_id, "log"))
    assert own.notified == [runner]


def test_a_search_finishes_alone_when_nobody_is_free(deck: Deck) -> None:
    job_id = search(deck, n_trials=3, parallelism=8)
    Attempt(deck.store, job_id).run()
    row = deck.job(job_id)
    assert row.state == JobState.SUCCEEDED, row.error
    assert len(deck.report(job_id)["data"]) == 3
    runner = runner_of(deck, job_id)
    assert deck.states(runner) == [JobState.QUEUED, JobState.CANCELLED]
    studies.remove(deck.store, job_id)
