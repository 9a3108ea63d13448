"""Notifications on a real Valkey: messages carry an id, a broker that is down loses no job."""

import json
import time
from pathlib import Path

import pytest
import redis

from service import notify
from service.settings import Settings
from service.store.session import Store
from tests.service.conftest import Harness


def messages(broker_url: str) -> list[dict[str, object]]:
    """What waits in the queue, oldest first."""
    socket, _, number = broker_url.removeprefix("redis+socket://").partition("?virtual_host=")
    with redis.Redis(unix_socket_path=socket, db=int(number)) as client:
        client_messages = client.lrange(notify.QUEUE, 0, -1)
        assert isinstance(client_messages, list)
        return [json.loads(message) for message in reversed(client_messages)]


def test_ring_sends_the_id_and_notes_the_time(harness: Harness, broker_url: str) -> None:
    first, second = harness.submit(), harness.submit()
    assert notify.notify_workers(harness.store, [first, second])
    sent = messages(broker_url)
    assert [message["headers"]["task"] for message in sent] == [notify.TASK] * 2  # type: ignore[index]
    assert [first in str(message["headers"]) for message in sent] == [True, False]
    assert harness.job(first).notified_at is not None
    assert notify.broker_answers(harness.store.settings)


def test_broker_that_is_down_leaves_the_job_queued_and_to_be_sent_again(sqlite_url: str, home: Path) -> None:
    store = Store(Settings(home=home, database_url=sqlite_url))
    harness = Harness(store)
    job_id = harness.submit()
    began = time.monotonic()
    assert not notify.notify_workers(store, [job_id])
    assert not notify.broker_answers(store.settings)
    assert time.monotonic() - began < 20
    assert (harness.job(job_id).state, harness.job(job_id).notified_at) == ("queued", None)
    store.close()


@pytest.mark.parametrize("setting", ["task_acks_late", "result_backend"])
def test_the_database_and_not_the_broker_keeps_the_truth(broker_url: str, setting: str) -> None:
    assert not notify.make_celery(broker_url).conf[setting]
