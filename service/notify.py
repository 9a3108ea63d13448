"""Notifies workers that a job id is queued; the database stays authoritative."""

import logging
from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING

from sqlalchemy import update

from service.settings import Settings
from service.store.session import Store, now
from service.store.tables import JobRow

if TYPE_CHECKING:
    from celery import Celery

# Celery takes a seventh of the API's import time, so it is imported when the first message is sent.

TASK = "trainwright.run"
QUEUE = "trainwright"
logger = logging.getLogger(__name__)


@lru_cache(maxsize=8)
def make_celery(broker_url: str) -> "Celery":
    """The Celery app: JSON messages, no results, no acknowledgements (the sweeper sends again what is lost)."""
    from celery import Celery

    app = Celery("trainwright", broker=broker_url, set_as_current=False)
    app.conf.update(
        task_default_queue=QUEUE,
        task_acks_late=False,
        task_ignore_result=True,
        task_serializer="json",
        accept_content=["json"],
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=True,
        worker_hijack_root_logger=False,
        broker_connection_retry_on_startup=True,
        broker_transport_options={"socket_timeout": 5, "socket_connect_timeout": 2, "max_retries": 1},
        worker_send_task_events=False,
        enable_utc=True,
    )
    return app


def notify_workers(store: Store, job_ids: Iterable[str]) -> bool:
    """Sends one message for each job; returns False when the broker does not answer: a sweep sends what is missing."""
    from kombu.exceptions import OperationalError

    app = make_celery(store.settings.broker)
    try:
        for job_id in job_ids:
            app.send_task(TASK, [job_id], retry=False)
            with store.begin() as session:
                session.execute(update(JobRow).where(JobRow.id == job_id).values(notified_at=now(session)))
    except (OperationalError, ConnectionError, TimeoutError) as error:
        logger.warning("the broker does not answer (%s); workers are notified again when it does", error)
        return False
    return True


def broker_answers(settings: Settings) -> bool:
    """Whether the broker answers within two seconds."""
    from kombu.exceptions import OperationalError

    try:
        with make_celery(settings.broker).connection_for_write(connect_timeout=2) as connection:
            connection.ensure_connection(max_retries=1, timeout=2, interval_start=0, interval_step=0)
    except (OperationalError, ConnectionError, TimeoutError):
        return False
    return True
