"""One attempt from claim to end, on a real training process."""

import os
import signal

from service.states import JobState
from service.store import jobs
from tests.worker.attempt.attempts import Attempt
from tests.worker.attempt.deck import Deck
from tests.worker.attempt.processes import has_ended

LONG = {"epochs": 2000, "early_stopping": None, "checkpoint": {"every_steps": 50}}
"""Goes on until it is stopped."""


def test_a_job_trains_and_leaves_everything_it_should(deck: Deck) -> None:
    job_id = deck.submit(epochs=8)
    Attempt(deck.store, job_id).run()
    assert deck.states(job_id) == ["queued", "running", "succeeded"], deck.job(job_id).error
    assert [event.data["phase"] for event in deck.events(job_id, "phase")] == [
        "loading",
        "checkup",
        "training",
        "testing",
    ]
    assert deck.report(job_id)["test"]["accuracy"] > 0.85
    assert deck.report(job_id, "confusion:test")["split"] == "test"
    steps = [step for step, _ in deck.series(job_id)["train/loss"]]
    assert steps == list(range(1, deck.report(job_id)["steps"] + 1))
    assert [name for name, _ in deck.files(job_id, "model")] == ["model.safetensors"]
    assert deck.job(job_id).progress == 1.0
    assert not (deck.store.settings.home / "scratch" / job_id).exists()


def test_the_first_step_is_written_before_the_run_goes_on_for_long(deck: Deck) -> None:
    job_id = deck.submit(**LONG)
    with Attempt(deck.store, job_id):
        first = deck.seen(job_id, "metric")
        with deck.store.begin() as session:
            jobs.request_cancel(session, job_id)
    assert first.data["step"] == 1


def test_cancel_ends_the_process_and_keeps_a_checkpoint(deck: Deck) -> None:
    job_id = deck.submit(**LONG | {"checkpoint": {"every_seconds": 10_000}})
    with Attempt(deck.store, job_id) as attempt:
        child = attempt.child()
        deck.seen(job_id, "metric")
        with deck.store.begin() as session:
            jobs.request_cancel(session, job_id)
    row = deck.job(job_id)
    assert (row.state, row.stop_reason) == ("cancelled", "cancelled")
    assert deck.files(job_id, "last")
    assert has_ended(child)


def test_a_process_that_does_not_stop_is_killed_after_the_grace_period(deck: Deck) -> None:
    short = Deck(type(deck.store)(deck.store.settings.model_copy(update={"grace_seconds": 0.2})))
    job_id = short.submit(**LONG)
    with Attempt(short.store, job_id) as attempt:
        child = attempt.child()
        short.seen(job_id, "metric")
        os.kill(child, signal.SIGSTOP)
        with short.store.begin() as session:
            jobs.request_cancel(session, job_id)
    assert short.job(job_id).state == JobState.CANCELLED
    assert has_ended(child)
    assert any("was killed" in event.data["message"] for event in short.events(job_id, "log"))
    short.store.close()


def test_pause_and_resume_give_the_uninterrupted_run(deck: Deck) -> None:
    spec = {"epochs": 12, "early_stopping": None}
    whole, parts = deck.submit(**spec), deck.submit(**spec)
    Attempt(deck.store, whole).run()
    with Attempt(deck.store, parts):
        deck.seen(parts, "metric")
        with deck.store.begin() as session:
            jobs.request_pause(session, parts)
    assert deck.job(parts).state == JobState.PAUSED
    with deck.store.begin() as session:
        jobs.resume(session, parts)
    Attempt(deck.store, parts).run()
    assert deck.series(parts) == deck.series(whole)
    assert deck.files(parts, "model") == deck.files(whole, "model")
    assert deck.job(parts).resume == "exact"


def test_drain_hands_the_job_back_without_using_up_an_attempt(deck: Deck) -> None:
    job_id = deck.submit(**LONG)
    with Attempt(deck.store, job_id) as attempt:
        deck.seen(job_id, "metric")
        attempt.drain.set()
    row = deck.job(job_id)
    assert (row.state, row.lost_attempts, attempt.free) == (JobState.QUEUED, 0, [job_id])
    assert deck.files(job_id, "last")


def test_a_killed_process_is_tried_again_from_its_checkpoint_with_the_same_result(deck: Deck) -> None:
    spec = {"epochs": 12, "early_stopping": None, "checkpoint": {"every_steps": 20}}
    whole, killed = deck.submit(**spec), deck.submit(**spec)
    Attempt(deck.store, whole).run()
    with Attempt(deck.store, killed) as attempt:
        child = attempt.child()
        deck.seen(killed, "checkpoint", role="last")
        os.kill(child, signal.SIGKILL)
    assert attempt.free == [killed]
    assert deck.job(killed).lost_attempts == 1
    assert "SIGKILL" in deck.events(killed, "log")[-1].data["message"]
    Attempt(deck.store, killed).run()
    assert deck.seen(killed, "resumed").data["step"] >= 20
    assert deck.series(killed) == deck.series(whole)
    assert deck.files(killed, "model") == deck.files(whole, "model")


def test_a_process_killed_in_every_attempt_fails_the_job_and_says_how(deck: Deck) -> None:
    once = Deck(type(deck.store)(deck.store.settings.model_copy(update={"max_attempts": 1})))
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
