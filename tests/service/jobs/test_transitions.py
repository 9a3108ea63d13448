"""Changes of a job's state: what the table allows, what people ask for, what is left behind."""

import pytest

from service.errors import DivergedError, StateError
from service.jobs import completion, transitions
from service.specs.training import LimitsSpec
from service.states import Actor, JobState, StopReason
from service.store import attempts, events, jobs
from service.store.attempts import AttemptStatus, Fence
from service.store.session import Store
from tests.service.conftest import Harness, spec


def states_of(harness: Harness, job_id: str) -> list[str]:
    """The states that the job's events tell of, in order."""
    with harness.store.read() as session:
        return [event.data["state"] for event in events.after(session, job_id, 0) if event.type == "state"]


def test_end_is_final(harness: Harness) -> None:
    job_id = harness.submit()
    fence = harness.claim(job_id)
    harness.end(fence)
    row = harness.job(job_id)
    assert (row.state, row.worker_id, row.lease_until, row.progress) == ("succeeded", None, None, 1.0)
    assert row.finished_at is not None
    assert states_of(harness, job_id) == ["queued", "running", "succeeded"]
    with harness.store.begin() as session:
        for target in JobState:
            assert not transitions.move(session, job_id, target)
    assert harness.try_claim(job_id) is None
    assert states_of(harness, job_id) == ["queued", "running", "succeeded"]


def test_failure_keeps_its_problem(harness: Harness) -> None:
    job_id = harness.submit()
    fence = harness.claim(job_id)
    with harness.store.begin() as session:
        problem = DivergedError("the loss became NaN at step 7").problem()
        completion.end(session, job_id, JobState.FAILED, fence=fence, error=problem, stop_reason=StopReason.DIVERGED)
    row = harness.job(job_id)
    assert row.error is not None
    assert (row.state, row.error["code"], row.stop_reason) == ("failed", "diverged", "diverged")


@pytest.mark.parametrize("target", [JobState.SUCCEEDED, JobState.PAUSED, JobState.CANCELLING, JobState.PAUSING])
def test_transition_that_the_table_lacks_changes_nothing(harness: Harness, target: JobState) -> None:
    job_id = harness.submit()
    with harness.store.begin() as session:
        moved = transitions.move(session, job_id, target)
    assert moved == (target is JobState.PAUSED)
    assert harness.state(job_id) == (JobState.PAUSED if moved else JobState.QUEUED)


def test_waiting_job_is_cancelled_at_once(harness: Harness) -> None:
    job_id = harness.submit()
    with harness.store.begin() as session:
        assert transitions.request_cancel(session, job_id).state == JobState.CANCELLED
    assert harness.try_claim(job_id) is None
    assert harness.job(job_id).stop_reason == StopReason.CANCELLED


def test_running_job_is_asked_to_stop_and_its_owner_ends_it(harness: Harness) -> None:
    job_id = harness.submit()
    fence = harness.claim(job_id)
    with harness.store.begin() as session:
        assert transitions.request_cancel(session, job_id).state == JobState.CANCELLING
        assert transitions.request_cancel(session, job_id).state == JobState.CANCELLING
    with harness.store.begin() as session:
        assert attempts.status(session, fence) is AttemptStatus.CANCEL_REQUESTED
        assert attempts.heartbeat(session, fence, 60) is AttemptStatus.CANCEL_REQUESTED
    harness.end(fence, JobState.CANCELLED)
    assert states_of(harness, job_id) == ["queued", "running", "cancelling", "cancelled"]


def test_pause_and_resume(harness: Harness) -> None:
    job_id = harness.submit()
    fence = harness.claim(job_id)
    with harness.store.begin() as session:
        transitions.request_pause(session, job_id)
    with harness.store.read() as session:
        assert attempts.status(session, fence) is AttemptStatus.PAUSE_REQUESTED
    with harness.store.begin() as session:
        assert transitions.move(session, job_id, JobState.PAUSED, fence=fence, stop_reason=StopReason.PAUSED)
    assert harness.try_claim(job_id) is None
    with harness.store.begin() as session:
        assert transitions.resume(session, job_id).state == JobState.QUEUED
    assert harness.claim(job_id, "w2") == Fence(job_id, 2, "w2")
    assert states_of(harness, job_id) == ["queued", "running", "pausing", "paused", "queued", "running"]


def paused_at_limit(harness: Harness, **limits: float) -> str:
    """A job that has run for 30 seconds and was paused for that."""
    job_id = harness.submit(limits=limits)
    fence = harness.claim(job_id)
    with harness.store.begin() as session:
        attempts.heartbeat(session, fence, 60, running_seconds=30)
        transitions.pause_at_limit(session, fence)
    with harness.store.begin() as session:
        assert attempts.status(session, fence) is AttemptStatus.PAUSE_REQUESTED
        transitions.finish_pause(session, jobs.get(session, job_id), fence)
    return job_id


def test_a_job_that_has_run_for_its_limit_is_paused_and_says_why(harness: Harness) -> None:
    job_id = paused_at_limit(harness, seconds=20)
    row = harness.job(job_id)
    assert (row.state, row.stop_reason, row.running_seconds) == ("paused", "limit", 30)
    with harness.store.read() as session:
        last = [event.data for event in events.after(session, job_id, 0, type="state")][-2:]
    assert [(data["state"], data["reason"], data["actor"]) for data in last] == [
        ("pausing", "limit", "limit"),
        ("paused", "limit", "limit"),
    ]


def test_resume_with_other_limits_goes_on_and_the_stored_spec_stays(harness: Harness) -> None:
    job_id = paused_at_limit(harness, seconds=20, stall_seconds=90)
    with harness.store.begin() as session:
        transitions.resume(session, job_id, LimitsSpec(seconds=100))
    claim = harness.try_claim(job_id, "w2")
    assert claim is not None
    assert (claim.limits, claim.running_seconds) == (LimitsSpec(seconds=100, stall_seconds=90), 30)
    row = harness.job(job_id)
    assert row.spec["limits"] == {"seconds": 20, "stall_seconds": 90, "trial_seconds": None}
    assert row.stop_reason is None


def test_resume_refuses_limits_that_are_used_up(harness: Harness) -> None:
    job_id = paused_at_limit(harness, seconds=20)
    for limits in (None, LimitsSpec(seconds=30)):
        with harness.store.begin() as session, pytest.raises(StateError, match=r"run for 30 s.*limits\.seconds"):
            transitions.resume(session, job_id, limits)
    with harness.store.begin() as session:
        assert transitions.resume(session, job_id, LimitsSpec(seconds=None)).state == JobState.QUEUED


def test_a_pause_that_a_person_asks_for_after_a_limit_is_theirs(harness: Harness) -> None:
    job_id = paused_at_limit(harness, seconds=20)
    with harness.store.begin() as session:
        transitions.resume(session, job_id, LimitsSpec(seconds=100))
    fence = harness.claim(job_id)
    with harness.store.begin() as session:
        transitions.request_pause(session, job_id)
        transitions.finish_pause(session, jobs.get(session, job_id), fence)
    assert harness.job(job_id).stop_reason == StopReason.PAUSED


def test_a_superseded_attempt_neither_counts_nor_pauses(harness: Harness) -> None:
    job_id = harness.submit()
    fence = harness.claim(job_id)
    with harness.store.begin() as session:
        completion.requeue(session, fence, lost=True)
    harness.claim(job_id, "w2")
    with harness.store.begin() as session:
        attempts.heartbeat(session, fence, 60, running_seconds=1000)
        transitions.pause_at_limit(session, fence)
    row = harness.job(job_id)
    assert (row.state, row.running_seconds) == ("running", 0)


def test_request_that_the_state_does_not_allow_names_the_state(harness: Harness) -> None:
    job_id = harness.submit()
    harness.end(harness.claim(job_id))
    with harness.store.begin() as session:
        for request in (transitions.request_cancel, transitions.request_pause, transitions.resume):
            with pytest.raises(StateError, match="succeeded"):
                request(session, job_id)


def test_drained_job_waits_again_without_losing_a_try(harness: Harness) -> None:
    job_id = harness.submit()
    fence = harness.claim(job_id)
    with harness.store.begin() as session:
        assert completion.requeue(session, fence, lost=False)
    row = harness.job(job_id)
    assert (row.state, row.lost_attempts, row.worker_id, row.notified_at) == ("queued", 0, None, None)
    assert harness.claim(job_id, "w2").attempt == 2


def test_every_change_of_state_names_who_made_it_and_why(store: Store) -> None:
    with store.begin("alice") as session:
        job_id = jobs.create(session, spec()).id
    with store.begin(Actor.WORKER) as session:
        claim = attempts.claim(session, job_id, "w1", 60)
        assert claim is not None
    with store.begin(Actor.SWEEPER) as session:
        assert completion.requeue(session, claim.fence, lost=True)
    with store.begin("bob") as session:
        transitions.request_pause(session, job_id)
    with store.begin() as session:
        transitions.resume(session, job_id)
        changes = [row.data for row in events.after(session, job_id, 0, type="state")]
    assert [(data["state"], data["actor"], data["reason"]) for data in changes] == [
        ("queued", "alice", "submitted"),
        ("running", "worker", "claimed"),
        ("queued", "sweeper", "its worker was lost"),
        ("paused", "bob", "paused"),
        ("queued", "anyone", "requested"),
    ]
