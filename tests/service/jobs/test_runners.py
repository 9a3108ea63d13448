"""Runners of a search: started under its fence, led by its state, unseen in lists, gone with it."""

from collections.abc import Iterable
from pathlib import Path

import pytest

from service.jobs import completion, runners, transitions
from service.specs.tune import TuneSpec
from service.states import Actor, JobState
from service.store import attempts, files, jobs
from service.store.artifacts.interface import StoredFile
from service.store.attempts import Fence
from service.sweeper import sweep
from tests.service.conftest import Harness

SEARCH = TuneSpec.model_validate(
    {
        "kind": "tune",
        "train": {"dataset": "digits"},
        "search_space": {"optimizer.lr": {"type": "float", "low": 1e-4, "high": 1e-1}},
        "parallelism": 3,
    }
)


@pytest.fixture
def fence(harness: Harness) -> Fence:
    """A search that runs."""
    with harness.store.begin() as session:
        job_id = jobs.create(session, SEARCH).id
    return harness.claim(job_id)


def start(harness: Harness, fence: Fence, count: int = 2) -> list[str]:
    with harness.store.begin() as session:
        attempts.lock(session, fence)
        return runners.start(session, fence.job_id, SEARCH, count)


def states(harness: Harness, ids: Iterable[str]) -> list[JobState]:
    return [harness.state(job_id) for job_id in ids]


def test_runners_belong_to_the_owner_of_their_search(harness: Harness) -> None:
    with harness.store.begin("alice") as session:
        job_id = jobs.create(session, SEARCH).id
    with harness.store.begin(Actor.WORKER) as session:
        started = runners.start(session, job_id, SEARCH, 2)
    assert [harness.job(runner).owner for runner in started] == ["alice", "alice"]


def test_runners_are_numbered_and_started_once(harness: Harness, fence: Fence) -> None:
    first = start(harness, fence)
    assert [harness.job(job_id).spec["number"] for job_id in first] == [2, 3]
    assert {(harness.job(job_id).kind, harness.job(job_id).parent_id) for job_id in first} == {
        ("tune-runner", fence.job_id)
    }
    assert start(harness, fence) == first
    harness.end(harness.claim(first[0]), JobState.FAILED)
    again = start(harness, fence)
    assert again[0] == first[1]
    assert harness.job(again[1]).spec["number"] == 2


def test_runners_are_listed_only_when_asked_for(harness: Harness, fence: Fence) -> None:
    started = start(harness, fence)
    with harness.store.read() as session:
        assert [row.id for row in jobs.list_page(session)[0]] == [fence.job_id]
        assert jobs.list_page(session, parent=[fence.job_id])[0] == []
        assert {row.id for row in jobs.list_page(session, kind=["tune-runner"])[0]} == set(started)


@pytest.mark.parametrize("end", [JobState.SUCCEEDED, JobState.FAILED])
def test_runners_end_with_their_search(harness: Harness, fence: Fence, end: JobState) -> None:
    running, waiting = start(harness, fence)
    theirs = harness.claim(running)
    harness.end(fence, end)
    assert states(harness, [running, waiting]) == [JobState.CANCELLING, JobState.CANCELLED]
    harness.end(theirs, JobState.CANCELLED)
    assert harness.state(running) == JobState.CANCELLED


def test_runners_are_cancelled_with_their_search(harness: Harness, fence: Fence) -> None:
    started = start(harness, fence)
    harness.claim(started[0])
    with harness.store.begin() as session:
        transitions.request_cancel(session, fence.job_id)
    assert states(harness, [fence.job_id, *started]) == [
        JobState.CANCELLING,
        JobState.CANCELLING,
        JobState.CANCELLED,
    ]


def test_runners_pause_and_go_on_with_their_search(harness: Harness, fence: Fence) -> None:
    started = start(harness, fence)
    theirs = harness.claim(started[0])
    with harness.store.begin() as session:
        transitions.request_pause(session, fence.job_id)
    assert states(harness, started) == [JobState.PAUSING, JobState.PAUSED]
    with harness.store.begin() as session:
        transitions.move(session, theirs.job_id, JobState.PAUSED, fence=theirs)
        transitions.move(session, fence.job_id, JobState.PAUSED, fence=fence)
        transitions.resume(session, fence.job_id)
    assert states(harness, started) == [JobState.PAUSED, JobState.PAUSED]
    assert sorted(start(harness, harness.claim(fence.job_id))) == sorted(started)
    assert states(harness, started) == [JobState.QUEUED, JobState.QUEUED]


def test_runners_leave_their_slots_to_a_search_that_waits_again(harness: Harness, fence: Fence) -> None:
    started = start(harness, fence)
    theirs = harness.claim(started[0])
    with harness.store.begin() as session:
        completion.requeue(session, fence, lost=True)
    assert states(harness, started) == [JobState.QUEUED, JobState.QUEUED]
    with harness.store.begin() as session, pytest.raises(attempts.LostLeaseError):
        attempts.lock(session, theirs)
    with harness.store.read() as session:
        assert [row.id for row in attempts.startable(session)] == [fence.job_id, *started]


def test_a_runners_end_does_not_touch_its_search(harness: Harness, fence: Fence) -> None:
    started = start(harness, fence)
    harness.end(harness.claim(started[0]), JobState.FAILED)
    with harness.store.begin() as session:
        transitions.request_cancel(session, started[1])
    assert harness.state(fence.job_id) == JobState.RUNNING


def test_runners_are_removed_with_their_search(harness: Harness, fence: Fence) -> None:
    started = start(harness, fence)
    theirs = harness.claim(started[0])
    harness.end(fence)
    with harness.store.begin() as session:
        assert set(jobs.remove(session, fence.job_id)) == {fence.job_id, *started}
    with harness.store.begin() as session, pytest.raises(attempts.LostLeaseError):
        attempts.lock(session, theirs)


def test_files_of_runners_go_when_their_search_has_ended(harness: Harness, fence: Fence, tmp_path: Path) -> None:
    running, _ = start(harness, fence)
    theirs = harness.claim(running)
    (tmp_path / "state").write_text("x")
    key = f"jobs/{running}/attempt-1/trial-00003.pt"
    stored: StoredFile = harness.store.artifacts.put(key, tmp_path / "state")
    with harness.store.begin() as session:
        files.put(session, running, "trial-00003.pt", "last", stored)
        row = runners.file_of(session, fence.job_id, "trial-00003.pt")
        assert row is not None
        assert row.artifact == key
        assert runners.file_of(session, fence.job_id, "trial-00004.pt") is None
        assert runners.delete_files(session) == []
    harness.end(fence)
    harness.end(theirs, JobState.CANCELLED)
    assert sweep(harness.store, lambda ids: True)
    assert harness.store.artifacts.keys("jobs") == []
    with harness.store.read() as session:
        assert files.of(session, running) == []
