"""Retention: old jobs lose their files, then their records; what anything else needs stays."""

import threading
from collections.abc import Callable
from datetime import timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from service import sweeper
from service.datasets import imports
from service.errors import InUseError
from service.events import StepRecord
from service.jobs import transitions
from service.jobs.reports import files_deleted
from service.specs.dataset import BuiltinSource
from service.states import Relation
from service.store import attempts, files, jobs, metrics
from service.store.jobs import Parent
from service.store.session import Store, now
from service.store.tables import JobRow
from service.upkeep import retention
from service.upkeep.retention import retain
from tests.service.conftest import Harness, spec
from tests.service.simulated_worker import SimulatedWorker

End = Callable[..., str]


@pytest.fixture
def ended(harness: Harness, worker: SimulatedWorker) -> End:
    """Makes a job that ended so many days ago and left a file of `size` bytes; returns its id."""

    def end(days: float, size: int = 100, needs: tuple[str, ...] = ()) -> str:
        job_id = harness.submit(needs=needs)
        fence = harness.claim(job_id)
        if size:
            worker.save_bytes(job_id, "model.safetensors", "model", b"x" * size)
        harness.end(fence)
        with harness.store.begin() as session:
            age(session, job_id, days)
        return job_id

    return end


def age(session: Session, job_id: str, days: float) -> None:
    """Moves the end of a job into the past."""
    session.execute(
        sa.update(JobRow).where(JobRow.id == job_id).values(finished_at=now(session) - timedelta(days=days))
    )


def keep(store: Store, monkeypatch: pytest.MonkeyPatch, days: float | None = None, size: int | None = None) -> None:
    """Sets the operator's limits."""
    monkeypatch.setattr(store, "settings", store.settings.model_copy(update={"keep_days": days, "keep_bytes": size}))


def left(store: Store) -> tuple[list[str], list[str]]:
    """Ids of the jobs that have a record, and of those that have a file."""
    with store.read() as session:
        kept = sorted(session.execute(sa.select(JobRow.id)).scalars())
        return kept, [job_id for job_id in kept if files.of(session, job_id)]


def test_nothing_is_deleted_by_default(harness: Harness, ended: End) -> None:
    old = ended(days=10_000)
    assert retain(harness.store) == 0
    assert left(harness.store) == ([old], [old])


def test_old_jobs_lose_their_files_before_any_loses_its_record(
    harness: Harness, ended: End, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    oldest, old, young = ended(days=40), ended(days=31), ended(days=29)
    keep(harness.store, monkeypatch, days=30)
    monkeypatch.setattr(retention, "JOBS_PER_ROUND", 1)
    assert retain(harness.store) == 1
    assert left(harness.store) == ([oldest, old, young], [old, young])
    with harness.store.read() as session:
        deleted = files_deleted(session, [oldest])[oldest]
    assert (deleted.actor, deleted.reason) == ("retention", "it ended more than 30 days ago (KEEP_DAYS)")
    assert retain(harness.store) == 1
    assert left(harness.store) == ([oldest, old, young], [young])
    with caplog.at_level("INFO", logger=retention.__name__):
        assert [retain(harness.store) for _ in range(3)] == [1, 1, 0]
    assert left(harness.store) == ([young], [young])
    assert f"retention deleted the record of job {oldest}: it ended more than 30 days ago (KEEP_DAYS)" in caplog.text
    assert [key.split("/")[1] for key in harness.store.artifacts.keys("jobs")] == [young]


def test_the_oldest_lose_their_files_until_the_rest_fits(
    harness: Harness, ended: End, monkeypatch: pytest.MonkeyPatch
) -> None:
    newest, oldest, middle, bare = ended(days=1), ended(days=3), ended(days=2), ended(days=4, size=0)
    keep(harness.store, monkeypatch, size=250)
    assert retain(harness.store) == 1
    assert left(harness.store) == (sorted([newest, oldest, middle, bare]), sorted([newest, middle]))
    assert retain(harness.store) == 0


def test_records_go_when_there_are_no_files_left(
    harness: Harness, ended: End, worker: SimulatedWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = []
    for days in (2, 1):
        job_id = harness.submit()
        fence = harness.claim(job_id)
        worker.record(fence, [StepRecord(step=step, epoch=1, values={"train/loss": 1.0}) for step in range(1, 50)])
        harness.end(fence)
        with harness.store.begin() as session:
            age(session, job_id, days)
        ids.append(job_id)
    with_file = ended(days=3)
    with harness.store.read() as session:
        size = retention._bytes_of_ended_jobs(session)
    keep(harness.store, monkeypatch, size=(size - 100) // 2)
    assert retain(harness.store) == 2
    assert left(harness.store) == ([ids[1], with_file], [])
    with harness.store.read() as session:
        assert metrics.names(session, ids[1]) == ["train/loss"]


def test_what_anything_else_needs_stays(
    harness: Harness, ended: End, worker: SimulatedWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = worker.dataset()
    gate, parent, search, named = (ended(days=100) for _ in range(4))
    with harness.store.begin() as session:
        clone = jobs.create(session, spec(), parent=Parent(parent, Relation.FOLLOW_UP), dataset_id=dataset.id).id
        step = jobs.create(session, spec(), parent=Parent(search, Relation.CHILD)).id
        age(session, dataset.job_id, 100)
    waiting = harness.submit(needs=[gate])
    naming = ended(days=1, needs=(named,))
    keep(harness.store, monkeypatch, days=30)
    assert retain(harness.store) == 1, "the files that only an ended job's spec names"
    kept = {dataset.job_id, gate, parent, search, named, clone, step, waiting, naming}
    assert left(harness.store) == (sorted(kept), sorted([gate, parent, search, naming]))
    with harness.store.read() as session:
        needed = files.users(session, [gate, parent, search, dataset.id, named])
    assert needed == {gate: [waiting], parent: [clone], search: [step], dataset.id: [clone]}
    with pytest.raises(InUseError, match=clone):
        imports.delete(harness.store, dataset.id)
    with harness.store.begin() as session:
        for job_id in (clone, step, waiting):
            transitions.request_cancel(session, job_id)
    retain(harness.store)
    assert left(harness.store)[0] == sorted({dataset.job_id, named, clone, step, naming, waiting, gate})
    imports.delete(harness.store, dataset.id)
    retain(harness.store)
    assert dataset.job_id not in left(harness.store)[0]


def test_parts_of_an_open_job_stay(harness: Harness, ended: End) -> None:
    running = harness.submit()
    fence = harness.claim(running)
    part = ended(days=100)
    with harness.store.begin() as session:
        session.execute(sa.update(JobRow).where(JobRow.id == part).values(parent_id=running, relation=Relation.CHILD))
        imported = imports.create(session, "digits", BuiltinSource(kind="builtin"))
        assert files.users(session, [part, running, imported.id]) == {
            part: [running],
            running: [running],
            imported.id: [imported.job_id],
        }
        attempts.lock(session, fence)
    harness.end(fence)
    with harness.store.read() as session:
        assert files.users(session, [part]) == {}


def test_the_sweeper_retains(harness: Harness, ended: End, monkeypatch: pytest.MonkeyPatch) -> None:
    old, stop = ended(days=40), threading.Event()
    update = {"keep_days": 30, "sweep_seconds": 0.01}
    monkeypatch.setattr(harness.store, "settings", harness.store.settings.model_copy(update=update))
    monkeypatch.setattr(sweeper, "RETAIN_EVERY", 2)
    turns = []

    def notify(_: object) -> None:
        turns.append(left(harness.store)[0])
        if len(turns) == 3:
            stop.set()

    sweeper.run_forever(harness.store, notify, stop)
    assert turns == [[old], [old], []]
