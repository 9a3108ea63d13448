"""One attempt from claim to end, on a real training process."""

import os
import signal

from service.jobs import bundles, transitions
from service.specs.training import LimitsSpec
from service.states import JobState, StopReason
from tests.worker.attempt.attempts import Attempt
from tests.worker.attempt.processes import has_ended
from tests.worker.attempt.store_client import StoreClient

LONG = {"epochs": 2000, "early_stopping": None, "checkpoint": {"every_steps": 50}}
"""Goes on until it is stopped."""


def test_a_job_trains_and_leaves_everything_it_should(client: StoreClient) -> None:
    job_id = client.submit(epochs=8)
    Attempt(client.store, job_id).run()
    assert client.states(job_id) == ["queued", "running", "succeeded"], client.job(job_id).error
    assert [event.data["phase"] for event in client.events(job_id, "phase")] == [
        "loading",
        "checkup",
        "training",
        "testing",
    ]
    assert client.report(job_id)["test"]["accuracy"] > 0.85
    assert client.report(job_id, "confusion:test")["split"] == "test"
    steps = [step for step, _ in client.series(job_id)["train/loss"]]
    assert steps == list(range(1, client.report(job_id)["steps"] + 1))
    assert [name for name, _ in client.files(job_id, "model")] == ["model.safetensors"]
    assert client.job(job_id).progress == 1.0
    assert not (client.store.settings.home / "scratch" / job_id).exists()


def test_the_bundle_says_on_what_a_job_ran(client: StoreClient) -> None:
    job_id = client.submit(kind="sanity")
    with client.store.read() as session:
        waiting = bundles.bundle(session, job_id)
    assert (set(waiting.versions), waiting.machine) == ({"trainwright"}, None)
    Attempt(client.store, job_id).run()
    with client.store.read() as session:
        bundle = bundles.bundle(session, job_id)
    assert {"trainwright", "python", "torch", "torchvision", "numpy"} <= set(bundle.versions)
    assert bundle.machine is not None
    assert bundle.machine.threads == 1
    assert set(bundle.reports) == {"checkup", "result"}


def test_the_first_step_is_written_before_the_run_goes_on_for_long(client: StoreClient) -> None:
    job_id = client.submit(**LONG)
    with Attempt(client.store, job_id):
        first = client.seen(job_id, "metric")
        with client.store.begin() as session:
            transitions.request_cancel(session, job_id)
    assert first.data["step"] < 100


def test_cancel_ends_the_process_and_keeps_a_checkpoint(client: StoreClient) -> None:
    job_id = client.submit(**LONG | {"checkpoint": {"every_seconds": 10_000}})
    with Attempt(client.store, job_id) as attempt:
        child = attempt.child()
        client.seen(job_id, "metric")
        with client.store.begin() as session:
            transitions.request_cancel(session, job_id)
    row = client.job(job_id)
    assert (row.state, row.stop_reason) == ("cancelled", "cancelled")
    assert client.files(job_id, "last")
    assert has_ended(child)


def test_a_process_that_does_not_stop_is_killed_after_the_grace_period(client: StoreClient) -> None:
    short = StoreClient(type(client.store)(client.store.settings.model_copy(update={"grace_seconds": 0.2})))
    job_id = short.submit(**LONG)
    with Attempt(short.store, job_id) as attempt:
        child = attempt.child()
        short.seen(job_id, "metric")
        os.kill(child, signal.SIGSTOP)
        with short.store.begin() as session:
            transitions.request_cancel(session, job_id)
    assert short.job(job_id).state == JobState.CANCELLED
    assert has_ended(child)
    assert any("was killed" in event.data["message"] for event in short.events(job_id, "log"))
    short.store.close()


def test_pause_and_resume_give_the_uninterrupted_run(client: StoreClient) -> None:
    spec = {"epochs": 12, "early_stopping": None}
    whole, parts = client.submit(**spec), client.submit(**spec)
    Attempt(client.store, whole).run()
    with Attempt(client.store, parts):
        client.seen(parts, "metric")
        with client.store.begin() as session:
            transitions.request_pause(session, parts)
    assert client.job(parts).state == JobState.PAUSED
    with client.store.begin() as session:
        transitions.resume(session, parts)
    Attempt(client.store, parts).run()
    assert client.series(parts) == client.series(whole)
    assert client.files(parts, "model") == client.files(whole, "model")
    assert client.job(parts).resume == "exact"


def test_a_job_pauses_at_its_limit_and_ends_like_the_uninterrupted_run_with_another(client: StoreClient) -> None:
    spec = {"epochs": 6, "batch_size": 8, "early_stopping": None}
    whole, parts = client.submit(**spec), client.submit(**spec, limits={"seconds": 0.2})
    Attempt(client.store, whole).run()
    Attempt(client.store, parts).run()
    row = client.job(parts)
    assert (row.state, row.stop_reason, row.lost_attempts) == (JobState.PAUSED, StopReason.LIMIT, 0)
    assert row.running_seconds >= 0.2
    assert client.files(parts, "last")
    with client.store.begin() as session:
        transitions.resume(session, parts, LimitsSpec(seconds=3600))
    Attempt(client.store, parts).run()
    assert client.job(parts).state == JobState.SUCCEEDED
    assert client.job(parts).running_seconds > row.running_seconds
    assert client.series(parts) == client.series(whole)
    assert client.files(parts, "model") == client.files(whole, "model")


def test_drain_hands_the_job_back_without_using_up_an_attempt(client: StoreClient) -> None:
    job_id = client.submit(**LONG)
    with Attempt(client.store, job_id) as attempt:
        client.seen(job_id, "metric")
        attempt.drain.set()
    row = client.job(job_id)
    assert (row.state, row.lost_attempts, attempt.free) == (JobState.QUEUED, 0, [job_id])
    assert client.files(job_id, "last")


def test_a_killed_process_is_tried_again_from_its_checkpoint_with_the_same_result(client: StoreClient) -> None:
    spec = {"epochs": 12, "early_stopping": None, "checkpoint": {"every_steps": 20}}
    whole, killed = client.submit(**spec), client.submit(**spec)
    Attempt(client.store, whole).run()
    with Attempt(client.store, killed) as attempt:
        child = attempt.child()
        client.seen(killed, "checkpoint", role="last")
        os.kill(child, signal.SIGKILL)
    assert attempt.free == [killed]
    assert client.job(killed).lost_attempts == 1
    assert "SIGKILL" in client.events(killed, "log")[-1].data["message"]
    Attempt(client.store, killed).run()
    assert client.seen(killed, "resumed").data["step"] >= 20
    assert client.series(killed) == client.series(whole)
    assert client.files(killed, "model") == client.files(whole, "model")


def test_a_process_killed_in_every_attempt_fails_the_job_and_says_how(client: StoreClient) -> None:
    once = StoreClient(type(client.store)(client.store.settings.model_copy(update={"max_attempts": 1})))
    job_id = once.submit(**LONG)
    with Attempt(once.store, job_id) as attempt:
        os.kill(attempt.child(), signal.SIGKILL)
    row = once.job(job_id)
    assert row.state == JobState.FAILED
    assert row.error is not None
    assert row.error["code"] == "process-died"
    assert "SIGKILL" in row.error["detail"]
    assert "memory" in row.error["detail"]
    once.store.close()
