"""A search over two Celery workers, on each kind of database: its processes and a worker die, no trial is lost."""

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from service.jobs import transitions
from service.states import JobState
from service.store import jobs, studies
from service.store.session import Store
from service.store.tables import WorkerRow
from tests.polling import eventually
from tests.worker.attempt.processes import WorkerProcess, training_process_of
from tests.worker.attempt.searches import completed, imported, runner_of, search, stopped_in_a_trial, trials
from tests.worker.attempt.store_client import StoreClient


@pytest.fixture
def client(store: Store) -> Iterator[StoreClient]:
    """Leases that run out soon, since these workers die."""
    short = {"lease_seconds": 3.0, "stop_poll_seconds": 0.05, "sweep_seconds": 0.2, "renotify_seconds": 0.2}
    opened = Store(store.settings.model_copy(update=short))
    yield imported(opened)
    opened.close()


def worker_pid(client: StoreClient, job_id: str) -> int:
    """The worker that has the job."""
    with client.store.read() as session:
        row = session.get(WorkerRow, jobs.get(session, job_id).worker_id)
    assert row is not None
    return row.pid


def is_over(trial: dict[str, Any], number: int) -> bool:
    """Whether it is the trial of that number, and has ended."""
    return bool(trial["number"] == number and trial["state"] not in ("running", "waiting"))


def test_a_search_over_two_workers_outlives_a_process_and_a_worker(client: StoreClient) -> None:
    job_id = search(client, epochs=3, n_trials=5000)
    with WorkerProcess(client.store) as first, WorkerProcess(client.store) as second:
        client.notify(job_id)
        runner = runner_of(client, job_id)
        completed(client, job_id, "runner-2")
        assert {worker_pid(client, job_id), worker_pid(client, runner)} == {first.pid, second.pid}
        pid = training_process_of(worker_pid(client, runner))
        number = stopped_in_a_trial(client, job_id, "runner-2", pid)
        os.kill(pid, signal.SIGKILL)
        client.seen(runner, "state", state=JobState.RUNNING, attempt=2)
        completed(client, job_id, "runner-2", more_than=len(completed(client, job_id, "runner-2")))
        killed = eventually(lambda: next((row for row in trials(client, job_id) if is_over(row, number)), None))
        assert killed["state"] == "complete"
        host = first if worker_pid(client, job_id) == first.pid else second
        host.kill()
        before = trials(client, job_id)
        client.seen(job_id, "state", state=JobState.RUNNING, attempt=2)  # on the worker that had the runner
        ours = [trial for trial in before if (trial["runner"], trial["state"]) == ("main", "complete")]
        completed(client, job_id, "main", more_than=len(ours) + 1)
        assert client.job(runner).state == JobState.QUEUED
        with client.store.begin() as session:
            transitions.request_cancel(session, job_id)
        assert client.ended(job_id).state == client.ended(runner).state == JobState.CANCELLED
    after, series = trials(client, job_id), client.series(job_id)
    assert all(after[trial["number"]] == trial for trial in before if trial["state"] == "complete")
    assert all(
        len(series[f"trial/{trial['number']}/val/accuracy"]) == 3 for trial in after if trial["state"] == "complete"
    )
    studies.remove(client.store, job_id)
    assert not studies.kept(client.store)
