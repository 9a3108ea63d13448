"""Worker processes: registered, alive while they give signs of life, drained, removed."""

from datetime import timedelta

import sqlalchemy as sa

from service.store import workers
from service.store.session import Store, now
from service.store.tables import WorkerRow
from tests.service.conftest import Harness


def test_worker_lives_drains_and_leaves(harness: Harness) -> None:
    with harness.store.begin() as session:
        workers.register(session, "w1", host="h", pid=1, slots=2, devices=[{"device": "cpu"}])
    fence = harness.claim(harness.submit(), "w1")
    with harness.store.begin() as session:
        assert not workers.heartbeat(session, "w1")
        assert [row.id for row in workers.alive(session, 60)] == ["w1"]
        assert workers.jobs_of(session, "w1") == [fence.job_id]
        workers.drain(session, "w1")
    with harness.store.begin() as session:
        assert workers.heartbeat(session, "w1")
        assert workers.heartbeat(session, "unknown")
        workers.remove(session, "w1")
    with harness.store.read() as session:
        assert workers.alive(session, 60) == []


def test_worker_without_a_sign_of_life_is_not_alive_and_forgotten_later(store: Store) -> None:
    with store.begin() as session:
        for worker_id, hours in (("w1", 1), ("w2", 30)):
            workers.register(session, worker_id, host="h", pid=1, slots=1, devices=[])
            session.flush()
            session.get_one(WorkerRow, worker_id).heartbeat_at = now(session) - timedelta(hours=hours)
    with store.begin() as session:
        assert workers.alive(session, 60) == []
        workers.delete_lost(session)
    with store.read() as session:
        assert session.execute(sa.select(WorkerRow.id)).scalars().all() == ["w1"]
