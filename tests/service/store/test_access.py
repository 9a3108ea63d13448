"""API keys, idempotency keys and workers."""

import json
from datetime import timedelta

import pytest
import sqlalchemy as sa

from service.errors import AuthError, InvalidRequestError, NotFoundError
from service.store import idempotency, keys, workers
from service.store.session import Store, now
from service.store.tables import IdempotencyRow, KeyRow, WorkerRow
from tests.service.conftest import Harness


def test_key_opens_until_it_is_revoked(store: Store) -> None:
    with store.begin() as session:
        row, text = keys.create(session, "notebook", "train")
    prefix, key_id, secret = text.split("_", 2)
    assert (prefix, key_id, len(key_id), len(secret)) == ("tw", row.id, 8, 43)
    with store.read() as session:
        assert keys.check(session, text) == "train"
    with store.begin() as session:
        keys.revoke(session, row.id)
    with store.read() as session, pytest.raises(AuthError):
        keys.check(session, text)


def test_secret_is_not_stored(store: Store) -> None:
    with store.begin() as session:
        _, text = keys.create(session, "notebook", "read")
    with store.read() as session:
        columns = session.execute(sa.select(KeyRow.__table__)).one()
    assert text.split("_", 2)[2] not in json.dumps([str(column) for column in columns])


@pytest.mark.parametrize("spoil", ["tw_{id}_wrong", "tw_00000000_{secret}", "xx_{id}_{secret}", "", "tw__", "tw_{id}_"])
def test_wrong_key_does_not_open(store: Store, spoil: str) -> None:
    with store.begin() as session:
        row, text = keys.create(session, "notebook", "admin")
    wrong = spoil.format(id=row.id, secret=text.split("_", 2)[2])
    with store.read() as session, pytest.raises(AuthError):
        keys.check(session, wrong)


def test_unknown_key_cannot_be_revoked(store: Store) -> None:
    with store.begin() as session, pytest.raises(NotFoundError):
        keys.revoke(session, "00000000")


def test_keys_are_listed_by_age(store: Store) -> None:
    with store.begin() as session:
        made = [keys.create(session, name, "read")[0].id for name in ("a", "b")]
    with store.read() as session:
        assert [row.id for row in keys.listed(session)] == made


def test_first_answer_is_given_again(store: Store) -> None:
    with store.begin() as session:
        assert idempotency.get(session, "alice", "key", b"body") is None
        idempotency.put(session, "alice", "key", b"body", 202, {"id": "1"}, {"Location": "/v1/jobs/1"})
    with store.begin() as session:
        row = idempotency.get(session, "alice", "key", b"body")
        assert row is not None
        assert (row.status, row.answer, row.headers) == (202, {"id": "1"}, {"Location": "/v1/jobs/1"})
        with pytest.raises(InvalidRequestError, match="another body"):
            idempotency.get(session, "alice", "key", b"other body")


def test_answers_are_forgotten_after_a_day(store: Store) -> None:
    with store.begin() as session:
        for key in ("old", "new"):
            idempotency.put(session, "alice", key, b"", 200, {}, {})
        session.get_one(IdempotencyRow, ("alice", "old")).created_at = now(session) - timedelta(hours=25)
    with store.begin() as session:
        idempotency.delete_expired(session)
    with store.read() as session:
        assert session.execute(sa.select(IdempotencyRow.key)).scalars().all() == ["new"]


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
