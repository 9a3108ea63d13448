"""The worker: claims jobs when it is notified, sends signs of life, sweeps, and drains at the end."""

import logging
import os
import signal
import socket
import threading
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from celery import signals
from kombu.asynchronous import get_event_loop
from pydantic import ValidationError

from service.errors import SchemaError, SpecError
from service.ids import new_id
from service.jobs import completion
from service.notify import TASK, make_celery, notify_workers
from service.settings import Settings
from service.states import Actor, JobState
from service.store import attempts, workers
from service.store.attempts import Claim
from service.store.migrate import check_schema
from service.store.session import Store
from service.sweeper import run_forever
from worker.attempt.lease import DATABASE_AWAY
from worker.attempt.supervisor import Supervisor
from worker.attempt.training_process import WaitingProcesses
from worker.host import cleanup
from worker.host.devices import DevicePool, find_devices

logger = logging.getLogger(__name__)
CANDIDATES = 5
"""Jobs that a notified worker tries to claim: with several workers the first ones may be taken by then."""


class Worker:
    """One worker process with `worker_slots` slots."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.id = settings, new_id()
        self.store = Store(settings, Actor.WORKER)
        check_schema(self.store.engine)
        self.drain, self.stop = threading.Event(), threading.Event()
        self.threads = max(1, len(os.sched_getaffinity(0)) // settings.worker_slots)
        self.devices = find_devices()
        self._gpu = workers.has_gpu(self.devices)
        self.processes = WaitingProcesses()
        self._pool = DevicePool([device["device"] for device in self.devices], settings.worker_slots)

    def run(self) -> None:
        """Works until SIGTERM or SIGINT; jobs that run then are handed back with a checkpoint."""
        cleanup.clean_up(self.store)
        self._register()
        background = [
            threading.Thread(target=self._beat, name="heartbeat", daemon=True),
            threading.Thread(
                target=run_forever, args=(self.store, self.notify, self.stop), name="sweeper", daemon=True
            ),
        ]
        for thread in background:
            thread.start()
        try:
            self._consume()
        finally:
            self.stop.set()
            self.processes.close()
            for thread in background:
                thread.join()
            with suppress(*DATABASE_AWAY), self.store.begin() as session:
                workers.remove(session, self.id)
            self.store.close()

    def _consume(self) -> None:
        signals.worker_shutting_down.connect(self._drain_now)
        app = make_celery(self.settings.broker)
        app.conf.broker_connection_max_retries = None  # a broker may be away for as long as it likes
        app.task(name=TASK, ignore_result=True)(self.work)
        app.Worker(
            pool="threads",
            concurrency=self.settings.worker_slots,
            hostname=f"{self.id}@{socket.gethostname()}",
            loglevel="WARNING",
            quiet=True,
            without_gossip=True,
            without_mingle=True,
            without_heartbeat=True,
        ).start()

    def work(self, job_id: str) -> None:
        """Claims the job that should start next, which need not be the one in the message, and runs it to its end.

        Then the next one, while there is any: the messages of those claim nothing any more.
        """
        try:
            while not self.drain.is_set() and (claim := self._claim(job_id)) is not None:
                with self._pool.borrow() as device:
                    startable = self._run(claim, device)
                self.notify(startable)
        finally:
            _poll_broker()

    def _run(self, claim: Claim, device: str) -> list[str]:
        return Supervisor(
            self.store,
            claim,
            device=device,
            threads=self.threads,
            drain=self.drain,
            notify=self.notify,
            processes=self.processes,
        ).run()

    def _claim(self, job_id: str) -> Claim | None:
        """The startable job of the highest priority; a duplicate message claims nothing, which does no harm."""
        with self.store.read() as session:
            candidates = [row.id for row in attempts.startable(session, limit=CANDIDATES, gpu=self._gpu)]
        for candidate in dict.fromkeys([*candidates, job_id]):
            try:
                with self.store.begin() as session:
                    claim = attempts.claim(session, candidate, self.id, self.settings.lease_seconds, gpu=self._gpu)
            except ValidationError as error:
                self._fail_unreadable(candidate, error)
                continue
            except SchemaError as error:
                logger.warning("no job is taken: %s", error)
                return None
            if claim is not None:
                return claim
        return None

    def _fail_unreadable(self, job_id: str, error: ValidationError) -> None:
        """Fails a job whose stored spec this version cannot read: it would be tried first again and again."""
        problem = SpecError(f"this version of Trainwright cannot read the job's stored spec: {error}").problem()
        with suppress(attempts.LostLeaseError), self.store.begin() as session:
            completion.end(session, job_id, JobState.FAILED, error=problem)

    def notify(self, job_ids: Iterable[str]) -> bool:
        """Notifies the workers of jobs that can start."""
        return notify_workers(self.store, job_ids)

    def _register(self) -> None:
        with self.store.begin() as session:
            workers.register(
                session,
                self.id,
                host=socket.gethostname(),
                pid=os.getpid(),
                slots=self.settings.worker_slots,
                devices=[device | {"threads": self.threads} for device in self.devices],
            )

    def _beat(self) -> None:
        while not self.stop.wait(self.settings.lease_seconds / 6):
            try:
                with self.store.begin() as session:
                    drain = workers.heartbeat(session, self.id)
            except DATABASE_AWAY as error:
                logger.warning("the database does not answer: %s", error)
                continue
            if drain and not self.drain.is_set():
                os.kill(os.getpid(), signal.SIGTERM)

    def _drain_now(self, **_: object) -> None:
        self.drain.set()


def _poll_broker() -> None:
    """Wakes Celery's event loop, which alone polls the broker for a free slot up to a second late.

    Celery counts the slot as free shortly after the task has returned, hence several wake-ups.
    """
    hub: Any = get_event_loop()
    if hub is not None:
        for delay_seconds in (0.002, 0.01, 0.05, 0.2):
            hub.call_soon(hub.call_later, delay_seconds, _do_nothing)


def _do_nothing() -> None:
    """The wake-up alone makes the loop poll."""
