"""What goes wrong in an attempt becomes the job's error, and the next job runs."""

import numpy as np

from service.events import StepRecord
from service.jobs import completion, transitions
from service.states import JobState
from service.store import attempts, files
from service.store.attempts import Fence
from service.store.session import Store
from tests.polling import eventually
from tests.worker.attempt.attempts import Attempt
from tests.worker.attempt.processes import has_ended, resident_bytes
from tests.worker.attempt.store_client import StoreClient
from tests.worker.engine.large_store import LIMIT_BYTES, make_store
from worker.attempt.recorder import Recorder

LONG = {"epochs": 2000, "early_stopping": None, "checkpoint": {"every_steps": 50}}


def failed(client: StoreClient, job_id: str) -> dict[str, str]:
    """Runs the job to its failure; returns its error."""
    Attempt(client.store, job_id).run()
    row = client.job(job_id)
    assert (row.state, row.attempt) == (JobState.FAILED, 1), row.error
    assert row.error is not None
    return row.error


def test_exhausted_memory_is_a_clear_failure_and_the_next_job_runs(client: StoreClient) -> None:
    limited = StoreClient(Store(client.store.settings.model_copy(update={"memory_limit_bytes": 2**30})))
    huge = limited.submit(model={"family": "mlp", "hidden": [16_384] * 2}, batch_size=32)
    error = failed(limited, huge)
    assert error["code"] == "out-of-memory"
    assert "batch_size 32" in error["detail"]
    small = limited.submit(epochs=1)
    Attempt(limited.store, small).run()
    assert limited.job(small).state == JobState.SUCCEEDED
    limited.store.close()


def test_a_dataset_larger_than_the_memory_limit_is_streamed(client: StoreClient) -> None:
    limited = StoreClient(Store(client.store.settings.model_copy(update={"memory_limit_bytes": LIMIT_BYTES})))
    with limited.store.read() as session:
        row = next(row for row in files.of(session, dataset_of(limited), "dataset") if row.name == "x.npy")
    path = limited.store.artifacts.local_path(row.artifact)
    assert path is not None
    assert make_store(path.parent, (256, 256, 3), np.uint8) == path.parent
    job_id = limited.submit(**LONG, model={"family": "mlp", "hidden": [4]}, batch_size=16)
    with Attempt(limited.store, job_id) as attempt:
        eventually(lambda: len(limited.series(job_id).get("train/loss", ())) > 20)
        resident = resident_bytes(attempt.child())
        with limited.store.begin() as session:
            transitions.request_cancel(session, job_id)
    assert limited.job(job_id).state == JobState.CANCELLED, limited.job(job_id).error
    assert resident < LIMIT_BYTES
    limited.store.close()


def test_an_error_of_the_run_is_the_jobs_error_and_is_not_tried_again(client: StoreClient) -> None:
    job_id = client.submit(loss={"class_weights": [1.0, 2.0]})
    error = failed(client, job_id)
    assert error["code"] == "data-mismatch"
    assert [event.level for event in client.events(job_id, "log")][-1] == "error"


def test_an_unforeseen_exception_is_internal_and_its_trace_is_in_the_log(client: StoreClient) -> None:
    with client.store.read() as session:
        row = next(row for row in files.of(session, dataset_of(client), "dataset") if row.name == "y.npy")
    path = client.store.artifacts.local_path(row.artifact)
    assert path is not None
    np.save(path, np.array(["not", "labels"]))
    job_id = client.submit()
    assert failed(client, job_id)["code"] == "internal"
    assert "Traceback" in client.events(job_id, "log")[-1].data["message"]


def dataset_of(client: StoreClient) -> str:
    dataset_id = client.job(client.submit()).dataset_id
    assert dataset_id is not None
    return dataset_id


def test_inputs_that_are_gone_fail_the_job_before_a_process_starts(client: StoreClient) -> None:
    train_id = client.submit(epochs=1)
    Attempt(client.store, train_id).run()
    job_id = client.submit(optimizer={"name": "adam", "lr": {"from_job": train_id}})
    assert "suggested" in failed(client, job_id)["detail"]


def test_who_loses_the_lease_stops_its_process_and_writes_nothing_more(client: StoreClient) -> None:
    job_id = client.submit(**LONG)
    with Attempt(client.store, job_id) as attempt:
        child = attempt.child()
        client.seen(job_id, "metric")
        with client.store.begin() as session:
            completion.requeue(session, attempt.claim.fence, lost=True)
            thief = attempts.claim(session, job_id, "w2", 60)
        count = len(client.events(job_id))
    assert attempt.free == []
    assert thief is not None
    assert thief.fence == Fence(job_id, 2, "w2")
    assert len(client.events(job_id)) == count
    assert client.job(job_id).state == JobState.RUNNING
    assert has_ended(child)


def test_an_attempt_from_the_start_voids_what_an_earlier_one_recorded(client: StoreClient) -> None:
    job_id = client.submit(epochs=2, early_stopping=None, checkpoint={"every_seconds": 10_000})
    with client.store.begin() as session:
        claim = attempts.claim(session, job_id, "w0", 60)
    assert claim is not None
    recorder = Recorder(client.store, claim.fence)
    for step in range(1, 500):
        recorder.add(StepRecord(step, 1, {"train/loss": -1.0}))
    recorder.flush()
    with client.store.begin() as session:
        completion.requeue(session, claim.fence, lost=True)
    Attempt(client.store, job_id).run()
    losses = client.series(job_id)["train/loss"]
    assert len(losses) == client.report(job_id)["steps"]
    assert min(value for _, value in losses) > 0
