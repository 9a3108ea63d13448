"""A training process that hangs is noticed and killed, and the next attempt goes on where its checkpoint stands."""

import os
import signal
import time
from collections.abc import Callable

import pytest

from service.datasets import imports
from service.specs.dataset import BuiltinSource
from service.states import JobState
from service.store import jobs
from tests.worker.attempt.attempts import Attempt
from tests.worker.attempt.hangs import (
    deadlock_in_loader,
    hang_once,
    loop_forever_in_evaluation,
    loop_forever_in_import,
    loop_forever_in_step,
    loop_forever_in_trial,
)
from tests.worker.attempt.processes import has_ended
from tests.worker.attempt.searches import trials
from tests.worker.attempt.store_client import StoreClient

LIMITS = {"stall_seconds": 8}
SPEC = {"epochs": 3, "early_stopping": None, "checkpoint": {"every_steps": 10}, "limits": LIMITS}
HANGS_AT = 45


def undisturbed(client: StoreClient) -> str:
    job_id = client.submit(**SPEC)
    Attempt(client.store, job_id).run()
    return job_id


def goes_on_and_ends_like(client: StoreClient, job_id: str, whole: str) -> None:
    assert client.job(job_id).state == JobState.QUEUED, client.job(job_id).error
    assert client.job(job_id).lost_attempts == 1
    Attempt(client.store, job_id).run()
    assert client.job(job_id).state == JobState.SUCCEEDED, client.job(job_id).error
    assert client.series(job_id) == client.series(whole)
    assert client.files(job_id, "model") == client.files(whole, "model")


@pytest.mark.parametrize(
    ("set_up", "frame"), [(loop_forever_in_step, "slow_step"), (deadlock_in_loader, "batches_then_deadlock")]
)
def test_a_run_that_hangs_is_killed_with_its_stack_in_the_log_and_goes_on(
    client: StoreClient, monkeypatch: pytest.MonkeyPatch, set_up: Callable[[int], None], frame: str
) -> None:
    whole, job_id = undisturbed(client), client.submit(**SPEC)
    hang_once(monkeypatch, set_up, HANGS_AT)
    with Attempt(client.store, job_id) as attempt:
        child = attempt.child()
    assert has_ended(child)
    stacks, warning = (event.data["message"] for event in client.events(job_id, "log")[-2:])
    assert frame in stacks
    assert "no sign of life for" in warning
    goes_on_and_ends_like(client, job_id, whole)
    assert client.seen(job_id, "resumed").data["step"] == HANGS_AT // 10 * 10


def test_a_stopped_process_is_killed_though_it_cannot_say_where_it_stood(client: StoreClient) -> None:
    whole, job_id = undisturbed(client), client.submit(**SPEC)
    with Attempt(client.store, job_id) as attempt:
        child = attempt.child()
        client.seen(job_id, "phase", phase="loading")
        os.kill(child, signal.SIGSTOP)
    assert has_ended(child)
    assert "is stopped (SIGSTOP)" in client.events(job_id, "log")[-1].data["message"]
    goes_on_and_ends_like(client, job_id, whole)


def assert_killed_with_its_stack(client: StoreClient, job_id: str, frame: str) -> None:
    """Runs an attempt that hangs: it ends in time, and the job waits for the next."""
    started = time.monotonic()
    Attempt(client.store, job_id).run()
    assert time.monotonic() - started < 60
    assert client.job(job_id).state == JobState.QUEUED, client.job(job_id).error
    assert any(frame in event.data["message"] for event in client.events(job_id, "log"))


def test_an_evaluation_that_hangs_is_killed_before_the_pace_is_known(
    client: StoreClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = client.submit(**SPEC)
    hang_once(monkeypatch, loop_forever_in_evaluation, 0)
    assert_killed_with_its_stack(client, job_id, "endless_evaluation")
    Attempt(client.store, job_id).run()
    assert client.job(job_id).state == JobState.SUCCEEDED, client.job(job_id).error
    assert client.seen(job_id, "resumed").data["step"] > 0


def test_a_trial_that_hangs_is_killed_and_run_again_under_its_number(
    client: StoreClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = {"dataset": "digits", "epochs": 2, "model": {"family": "mlp", "hidden": [16]}}
    space = {"optimizer.lr": {"type": "float", "low": 1e-3, "high": 1e-1, "log": True}}
    job_id = client.submit(kind="tune", train=train, search_space=space, n_trials=3, pruner="none", limits=LIMITS)
    hang_once(monkeypatch, loop_forever_in_trial, 1)
    assert_killed_with_its_stack(client, job_id, "endless_report")
    before = trials(client, job_id)
    Attempt(client.store, job_id).run()
    after = trials(client, job_id)
    assert [(trial["number"], trial["state"]) for trial in after] == [(n, "complete") for n in range(3)]
    assert after[0] == before[0]


def test_an_import_that_hangs_is_killed_and_done_again(client: StoreClient, monkeypatch: pytest.MonkeyPatch) -> None:
    with client.store.begin() as session:
        job_id = imports.create(session, "again", BuiltinSource(kind="builtin", name="digits")).job_id
        jobs.get(session, job_id).limits = LIMITS
    hang_once(monkeypatch, loop_forever_in_import, 0)
    assert_killed_with_its_stack(client, job_id, "endless_import")
    Attempt(client.store, job_id).run()
    assert client.job(job_id).state == JobState.SUCCEEDED, client.job(job_id).error
