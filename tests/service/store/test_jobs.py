"""The life of one job: made, claimed, asked to stop, ended; each step leaves an event."""

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from service.errors import DivergedError, InvalidRequestError, NotFoundError, StateError
from service.jobs import completion, transitions
from service.settings import Settings
from service.states import JobState, Relation, StopReason
from service.store import attempts, events, jobs
from service.store.attempts import AttemptStatus, Fence
from service.store.jobs import Parent
from service.store.session import Store
from service.store.tables import JobRow
from tests.service.conftest import Harness, spec


def states_of(harness: Harness, job_id: str) -> list[str]:
    """The states that the job's events tell of, in order."""
    with harness.store.read() as session:
        return [event.data["state"] for event in events.after(session, job_id, 0) if event.type == "state"]


def test_job_is_queued_and_keeps_its_resolved_spec(harness: Harness) -> None:
    job_id = harness.submit(name="first", labels={"team": "a"}, priority=3)
    row = harness.job(job_id)
    assert (row.state, row.name, row.labels, row.priority, row.attempt) == ("queued", "first", {"team": "a"}, 3, 0)
    assert row.spec["epochs"] == 20
    assert row.notified_at is None


def test_ids_sort_by_age(harness: Harness) -> None:
    ids = [harness.submit() for _ in range(5)]
    assert len({*ids}) == 5
    assert [one[:8] for one in ids] == sorted(one[:8] for one in ids)


def test_claim_wins_once(harness: Harness) -> None:
    job_id = harness.submit()
    claim = harness.try_claim(job_id, "w1")
    assert claim is not None
    assert claim.fence == Fence(job_id, 1, "w1")
    assert claim.spec == spec()
    assert harness.try_claim(job_id, "w2") is None
    row = harness.job(job_id)
    assert (row.state, row.worker_id, row.attempt) == ("running", "w1", 1)
    assert row.started_at is not None
    assert row.lease_until is not None
    assert (row.lease_until - row.started_at).total_seconds() == pytest.approx(60, abs=1)


def test_claim_of_unknown_job_is_a_no_op(harness: Harness) -> None:
    assert harness.try_claim("no-such-job") is None


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


def test_request_that_the_state_does_not_allow_names_the_state(harness: Harness) -> None:
    job_id = harness.submit()
    harness.end(harness.claim(job_id))
    with harness.store.begin() as session:
        for request in (transitions.request_cancel, transitions.request_pause, transitions.resume):
            with pytest.raises(StateError, match="succeeded"):
                request(session, job_id)


def test_unknown_job_is_not_found(harness: Harness) -> None:
    with harness.store.read() as session, pytest.raises(NotFoundError):
        jobs.get(session, "no-such-job")


def test_heartbeat_renews_the_lease(harness: Harness) -> None:
    job_id = harness.submit()
    fence = harness.claim(job_id, lease_seconds=1)
    before = harness.job(job_id).lease_until
    with harness.store.begin() as session:
        assert attempts.heartbeat(session, fence, 100) is AttemptStatus.CURRENT
    after = harness.job(job_id).lease_until
    assert before is not None
    assert after is not None
    assert (after - before).total_seconds() > 90


def test_drained_job_waits_again_without_losing_a_try(harness: Harness) -> None:
    job_id = harness.submit()
    fence = harness.claim(job_id)
    with harness.store.begin() as session:
        assert completion.requeue(session, fence, lost=False)
    row = harness.job(job_id)
    assert (row.state, row.lost_attempts, row.worker_id, row.notified_at) == ("queued", 0, None, None)
    assert harness.claim(job_id, "w2").attempt == 2


def test_event_numbers_have_no_gaps_whatever_rolls_back(harness: Harness) -> None:
    job_id = harness.submit()

    def roll_back() -> None:
        with harness.store.begin() as session:
            events.append(session, job_id, [events.NewEvent("log", {"message": "lost"})] * 3)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        roll_back()
    with harness.store.begin() as session:
        events.append(session, job_id, [events.NewEvent("log", {"message": str(n)}, "info") for n in range(3)])
    with harness.store.read() as session:
        found = events.after(session, job_id, 0)
        assert [event.seq for event in found] == list(range(1, len(found) + 1))
        assert [event.data["message"] for event in events.after(session, job_id, 1)] == ["0", "1", "2"]
        assert [event.seq for event in events.after(session, job_id, 1, 2)] == [2, 3]
        assert [event.time.utcoffset() is not None for event in found] == [True] * 4


def test_events_are_filtered_by_type_and_level(harness: Harness) -> None:
    job_id = harness.submit()
    with harness.store.begin() as session:
        events.append(
            session, job_id, [events.NewEvent("log", {"message": level}, level) for level in ("info", "error")]
        )
    with harness.store.read() as session:
        assert [event.type for event in events.after(session, job_id, 0, type="state")] == ["state"]
        assert [event.level for event in events.after(session, job_id, 0, levels=["error"])] == ["error"]


def test_rename_and_relabel(harness: Harness) -> None:
    job_id = harness.submit(labels={"a": "1"})
    with harness.store.begin() as session:
        jobs.relabel(session, job_id, name="new", labels={"b": "2"}, priority=5)
    with harness.store.read() as session:
        rows, _ = jobs.list_page(session, label="b=2")
        gone, _ = jobs.list_page(session, label="a")
    assert [(row.name, row.priority) for row in rows] == [("new", 5)]
    assert gone == []


def test_removed_job_leaves_nothing(harness: Harness) -> None:
    job_id = harness.submit(labels={"a": "1"})
    harness.end(harness.claim(job_id))
    with harness.store.begin() as session:
        jobs.remove(session, job_id)
    with harness.store.read() as session:
        assert session.get(JobRow, job_id) is None
        assert events.after(session, job_id, 0) == []


def test_running_job_is_not_removed(harness: Harness) -> None:
    job_id = harness.submit()
    harness.claim(job_id)
    with harness.store.begin() as session, pytest.raises(StateError, match="running"):
        jobs.remove(session, job_id)


def test_value_that_postgres_cannot_store_is_refused_as_the_clients_fault(postgres_url: str, home: Path) -> None:
    store = Store(Settings(home=home, database_url=postgres_url))
    calls: list[Callable[[Session], object]] = [
        lambda session: jobs.get(session, "a\0"),
        lambda session: jobs.list_page(session, label="a\0=b"),
        lambda session: jobs.create(session, spec(name="a\0")),
        lambda session: jobs.create(session, spec(), parent=Parent("p" * 100, Relation.CHILD)),
    ]
    for call in calls:
        with pytest.raises(InvalidRequestError, match="cannot be stored"), store.begin() as session:
            call(session)
    store.close()
