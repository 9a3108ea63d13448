"""The sweeper: what was lost is sent again, taken back, settled or collected, by one process at a time."""

import threading
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from service import sweeper
from service.datasets import imports
from service.jobs import transitions
from service.settings import Settings
from service.specs.dataset import BuiltinSource
from service.states import DatasetState, JobState
from service.store import datasets, workers
from service.store.session import Store, now
from service.store.tables import JobRow, SweepRow, WorkerRow
from service.sweeper import run_forever
from tests.service.conftest import Harness


class Notifications:
    """Remembers the jobs that workers were notified of; `broken` is a broker that is down."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.notified: list[str] = []
        self.broken = False

    def notify(self, job_ids: Iterable[str]) -> bool:
        """As `service.notify.notify_workers`, without a broker."""
        if self.broken:
            return False
        for job_id in job_ids:
            self.notified.append(job_id)
            with self.store.begin() as session:
                session.execute(sa.update(JobRow).where(JobRow.id == job_id).values(notified_at=now(session)))
        return True


@pytest.fixture
def harness(store: Store) -> Harness:
    """A harness on a fresh database."""
    return Harness(store)


@pytest.fixture
def notifications(store: Store) -> Notifications:
    """Notifications recorded on the same database."""
    return Notifications(store)


def sweep(harness: Harness, notifications: Notifications, **later: float) -> list[str]:
    """One sweep as of some time from now; returns the jobs that workers were notified of."""
    before = len(notifications.notified)
    let_pass(harness, timedelta(**later))
    assert sweeper.sweep(harness.store, notifications.notify)
    return notifications.notified[before:]


def let_pass(harness: Harness, time: timedelta) -> None:
    """Moves everything the database remembers into the past."""
    with harness.store.begin() as session:
        session.execute(sa.delete(SweepRow))
        for row in session.execute(sa.select(JobRow)).scalars():
            row.notified_at = row.notified_at and row.notified_at - time
            row.lease_until = row.lease_until and row.lease_until - time


def register(harness: Harness, worker_id: str = "w1", slots: int = 1) -> None:
    """A worker that started an hour ago and is alive."""
    with harness.store.begin() as session:
        workers.register(session, worker_id, host="h", pid=1, slots=slots, devices=[])
        session.flush()
        session.get_one(WorkerRow, worker_id).started_at = now(session) - timedelta(hours=1)


def test_job_that_was_never_notified_of_is_notified_of(harness: Harness, notifications: Notifications) -> None:
    job_id = harness.submit()
    assert sweep(harness, notifications) == [job_id]
    assert sweep(harness, notifications) == []


def test_lost_message_is_sent_again_when_a_worker_is_idle(harness: Harness, notifications: Notifications) -> None:
    register(harness)
    job_id, later = harness.submit(priority=1), harness.submit()
    assert sweep(harness, notifications) == [job_id, later]
    assert sweep(harness, notifications, seconds=20) == []
    assert sweep(harness, notifications, seconds=20) == [job_id]
    harness.claim(job_id)
    assert sweep(harness, notifications, seconds=40) == []


def test_new_worker_is_notified_of_what_was_sent_before_it_came(harness: Harness, notifications: Notifications) -> None:
    job_id = harness.submit()
    assert sweep(harness, notifications) == [job_id]
    assert sweep(harness, notifications, hours=1) == []
    with harness.store.begin() as session:
        workers.register(session, "w2", host="h", pid=2, slots=4, devices=[])
    assert sweep(harness, notifications) == [job_id]
    assert sweep(harness, notifications) == []


def test_draining_and_lost_workers_are_not_counted_on(harness: Harness, notifications: Notifications) -> None:
    register(harness, "w1")
    register(harness, "w2")
    harness.submit()
    sweep(harness, notifications)
    with harness.store.begin() as session:
        workers.drain(session, "w1")
        session.get_one(WorkerRow, "w2").heartbeat_at = now(session) - timedelta(hours=1)
    assert sweep(harness, notifications, hours=1) == []


def test_broker_that_is_down_loses_nothing(harness: Harness, notifications: Notifications) -> None:
    job_id = harness.submit()
    notifications.broken = True
    assert sweep(harness, notifications) == []
    notifications.broken = False
    assert sweep(harness, notifications) == [job_id]


def test_blocked_job_is_not_notified_of(harness: Harness, notifications: Notifications) -> None:
    first = harness.submit()
    harness.submit(needs=[first])
    assert sweep(harness, notifications) == [first]


def test_expired_lease_is_taken_back_and_workers_are_notified(harness: Harness, notifications: Notifications) -> None:
    job_id = harness.submit()
    fence = harness.claim(job_id)
    assert sweep(harness, notifications, seconds=59) == []
    assert harness.state(job_id) == JobState.RUNNING
    assert sweep(harness, notifications, seconds=2) == [job_id]
    row = harness.job(job_id)
    assert (row.state, row.lost_attempts, row.worker_id) == ("queued", 1, None)
    assert harness.claim(job_id, "w2").attempt == fence.attempt + 1


def test_job_fails_when_its_worker_was_lost_too_often(harness: Harness, notifications: Notifications) -> None:
    job_id, child = harness.submit(), ""
    child = harness.submit(needs=[job_id])
    for attempt in range(1, harness.store.settings.max_attempts + 1):
        assert harness.claim(job_id).attempt == attempt
        sweep(harness, notifications, seconds=61)
    row = harness.job(job_id)
    assert row.error is not None
    assert (row.state, row.error["code"]) == ("failed", "worker-lost")
    assert harness.state(child) == JobState.FAILED


def test_lost_cancelling_and_pausing_jobs_end_as_asked(harness: Harness, notifications: Notifications) -> None:
    cancelled, paused = harness.submit(), harness.submit()
    harness.claim(cancelled)
    harness.claim(paused)
    with harness.store.begin() as session:
        transitions.request_cancel(session, cancelled)
        transitions.request_pause(session, paused)
    sweep(harness, notifications, seconds=61)
    assert (harness.state(cancelled), harness.state(paused)) == (JobState.CANCELLED, JobState.PAUSED)


def test_job_whose_need_ended_unseen_is_settled(harness: Harness, notifications: Notifications) -> None:
    first = harness.submit()
    second = harness.submit(needs=[first])
    third = harness.submit(needs=[second])
    with harness.store.begin() as session:
        transitions.request_cancel(session, first)  # and the process died before it settled the others
    sweep(harness, notifications)
    assert [harness.state(job_id) for job_id in (second, third)] == [JobState.FAILED, JobState.FAILED]


def test_job_whose_need_is_gone_fails(harness: Harness, notifications: Notifications) -> None:
    first = harness.submit()
    second = harness.submit(needs=[first])
    with harness.store.begin() as session:
        session.execute(sa.delete(JobRow).where(JobRow.id == first))
    sweep(harness, notifications)
    error = harness.job(second).error
    assert error is not None
    assert "was deleted" in error["detail"]


def test_dataset_whose_import_is_gone_fails(harness: Harness, notifications: Notifications) -> None:
    with harness.store.begin() as session:
        row = imports.create(session, "digits", BuiltinSource(kind="builtin"))
        session.execute(sa.delete(JobRow).where(JobRow.id == row.job_id))
    sweep(harness, notifications)
    with harness.store.read() as session:
        assert datasets.get(session, "digits").state == DatasetState.FAILED


def test_one_process_sweeps_at_a_time(harness: Harness, notifications: Notifications) -> None:
    harness.submit()
    turns: list[bool] = []
    barrier = threading.Barrier(4)

    def take_turn() -> None:
        barrier.wait()
        turns.append(sweeper.sweep(harness.store, notifications.notify))

    threads = [threading.Thread(target=take_turn) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(turns) == [False, False, False, True]
    assert len(notifications.notified) == 1


def test_sweep_moves_the_log_into_the_file_though_someone_reads(sqlite_url: str, home: Path) -> None:
    store = Store(Settings(home=home, database_url=sqlite_url))
    harness, notifications = Harness(store), Notifications(store)
    log = Path(sqlite_url.removeprefix("sqlite:///") + "-wal")
    harness.submit()
    assert log.stat().st_size > 0
    with store.read() as session:
        session.execute(sa.select(JobRow)).scalars().all()
        sweep(harness, notifications)
        harness.submit()
    sweep(harness, notifications)
    assert log.stat().st_size == 0
    assert len(notifications.notified) == 2
    store.close()


def test_sweeper_outlives_its_faults(sqlite_url: str, home: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = Store(Settings(home=home, database_url=sqlite_url, sweep_seconds=0.01))
    Harness(store).submit()
    stop = threading.Event()
    calls: list[list[str]] = []

    def notify(job_ids: Iterable[str]) -> bool:
        calls.append(list(job_ids))
        if len(calls) == 3:
            stop.set()
        raise RuntimeError("the broker fell off the table")

    run_forever(store, notify, stop)
    store.close()
    assert len(calls) == 3
    assert "the broker fell off the table" in caplog.text
