"""A stale attempt writes nothing, whatever it tries and whenever it wakes up."""

from collections.abc import Callable

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from service.events import StepRecord
from service.jobs import completion, transitions
from service.states import JobState
from service.store import attempts, events, files, jobs, metrics, reports
from service.store.artifacts.interface import StoredFile
from service.store.attempts import AttemptStatus, Fence, LostLeaseError
from service.store.session import Store
from service.store.tables import ChunkRow, EventRow, FileRow, ReportRow
from tests.service.conftest import Harness


def write_everything(session: Session, fence: Fence) -> None:
    """What a worker's recorder writes in one flush."""
    attempts.lock(session, fence, phase="training", progress=0.5)
    events.append(session, fence.job_id, [events.NewEvent("log", {"message": "alive"})])
    metrics.write(session, fence.job_id, [StepRecord(1, 1, {"train/loss": 1.0})])
    reports.put(session, fence.job_id, fence.attempt, "result", {"accuracy": 1.0})
    files.put(session, fence.job_id, "model.safetensors", "model", StoredFile("k", 1, "0" * 64))


def counts(store: Store) -> list[int]:
    """Rows of everything an attempt writes."""
    with store.read() as session:
        tables = (EventRow, ChunkRow, ReportRow, FileRow)
        return [session.execute(select(func.count()).select_from(table)).scalar_one() for table in tables]


def requeued(harness: Harness, fence: Fence) -> None:
    """The attempt was given back and someone else has the job."""
    with harness.store.begin() as session:
        completion.requeue(session, fence, lost=True)
    harness.claim(fence.job_id, "w2")


def waiting_again(harness: Harness, fence: Fence) -> None:
    """The attempt was given back; nobody has the job."""
    with harness.store.begin() as session:
        completion.requeue(session, fence, lost=True)


def same_worker_again(harness: Harness, fence: Fence) -> None:
    """The same worker has won the job's next attempt."""
    with harness.store.begin() as session:
        completion.requeue(session, fence, lost=True)
    harness.claim(fence.job_id, fence.worker_id)


def ended(harness: Harness, fence: Fence) -> None:
    """The job has ended."""
    harness.end(fence)


def removed(harness: Harness, fence: Fence) -> None:
    """The job is gone."""
    harness.end(fence)
    with harness.store.begin() as session:
        jobs.remove(session, fence.job_id)


@pytest.mark.parametrize("happen", [requeued, waiting_again, same_worker_again, ended, removed])
def test_stale_attempt_writes_nothing(harness: Harness, happen: Callable[[Harness, Fence], None]) -> None:
    fence = harness.claim(harness.submit())
    happen(harness, fence)
    before = counts(harness.store)
    with pytest.raises(LostLeaseError), harness.store.begin() as session:
        write_everything(session, fence)
    with harness.store.begin() as session:
        assert attempts.heartbeat(session, fence, 60) is AttemptStatus.LOST
        assert attempts.status(session, fence) is AttemptStatus.LOST
        assert not transitions.move(session, fence.job_id, JobState.SUCCEEDED, fence=fence)
        assert not completion.requeue(session, fence, lost=True)
    with pytest.raises(LostLeaseError), harness.store.begin() as session:
        completion.end(session, fence.job_id, JobState.FAILED, fence=fence)
    assert counts(harness.store) == before


def test_other_worker_cannot_use_an_attempts_number(harness: Harness) -> None:
    fence = harness.claim(harness.submit())
    with pytest.raises(LostLeaseError), harness.store.begin() as session:
        write_everything(session, Fence(fence.job_id, fence.attempt, "w2"))


def test_current_attempt_writes_all_of_it(harness: Harness) -> None:
    fence = harness.claim(harness.submit())
    with harness.store.begin() as session:
        write_everything(session, fence)
    assert counts(harness.store) == [3, 1, 1, 1]
    assert (harness.job(fence.job_id).phase, harness.job(fence.job_id).progress) == ("training", 0.5)


def test_crash_between_the_writes_of_a_flush_leaves_none(harness: Harness) -> None:
    fence = harness.claim(harness.submit())
    before = counts(harness.store)

    def crash() -> None:
        with harness.store.begin() as session:
            write_everything(session, fence)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        crash()
    assert counts(harness.store) == before


def test_lost_lease_that_nobody_took_back_may_be_renewed(harness: Harness) -> None:
    fence = harness.claim(harness.submit(), lease_seconds=-1)
    with harness.store.begin() as session:
        assert attempts.heartbeat(session, fence, 60) is AttemptStatus.CURRENT
        write_everything(session, fence)
