"""The worker: a ring comes in, a supervisor sees the job through; signs of life, sweeps, and a drain at the end."""

import logging
import os
import signal
import socket
import threading
from typing import Any

from celery import signals
from sqlalchemy.exc import OperationalError

from service.queue import TASK, make_celery, ring
from service.settings import Settings
from service.store import jobs, workers
from service.store.ids import new_id
from service.store.jobs import Claim
from service.store.migrate import check_schema
from service.store.session import Store
from service.sweeper import run_forever
from worker.supervisor import CONTEXT, Supervisor

logger = logging.getLogger(__name__)
PRELOADED = ["worker.child", "worker.engine.preload"]


class Worker:
    """One worker process with `worker_slots` slots."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.id = settings, new_id()
        self.store = Store(settings)
        check_schema(self.store.engine)
        self.drain, self.stop = threading.Event(), threading.Event()
        self.devices = find_devices()
        self._slot = threading.local()
        self._free_devices = list(self.devices)

    def run(self) -> None:
        """Works until SIGTERM or SIGINT; jobs that run then are handed back with a checkpoint."""
        self._register()
        background = [
            threading.Thread(target=self._beat, name="heartbeat", daemon=True),
            threading.Thread(target=run_forever, args=(self.store, self.ring, self.stop), name="sweeper", daemon=True),
        ]
        for thread in background:
            thread.start()
        signals.worker_shutting_down.connect(self._drain_now)
        app = make_celery(self.settings.broker)
        app.task(name=TASK, ignore_result=True)(self.answer)
        try:
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
        finally:
            self.stop.set()
            with self.store.begin() as session:
                workers.leave(session, self.id)
            self.store.close()

    def answer(self, job_id: str) -> None:
        """A ring: takes the job that should start next, which need not be the one that rang, and sees it through."""
        if self.drain.is_set():
            return  # the sweeper rings again, for a worker that stays
        claim = self._claim(job_id)
        if claim is None:
            return
        device = self._free_devices.pop() if self._free_devices else "cpu"
        try:
            self.ring(Supervisor(self.store, claim, device=device, threads=self.threads, drain=self.drain).run())
        finally:
            self._free_devices.append(device)

    def _claim(self, job_id: str) -> Claim | None:
        """The waiting job of the highest priority; a duplicate ring finds nothing and is no harm."""
        with self.store.read() as session:
            candidates = [row.id for row in jobs.waiting(session, limit=5)]
        for candidate in dict.fromkeys([*candidates, job_id]):
            with self.store.begin() as session:
                claim = jobs.claim(session, candidate, self.id, self.settings.lease_seconds)
            if claim is not None:
                return claim
        return None

    @property
    def threads(self) -> int:
        """CPU threads of one slot."""
        return max(1, len(os.sched_getaffinity(0)) // self.settings.worker_slots)

    def ring(self, job_ids: Any) -> bool:
        """Rings for jobs that can start."""
        return ring(self.store, job_ids)

    def _register(self) -> None:
        with self.store.begin() as session:
            workers.register(
                session,
                self.id,
                host=socket.gethostname(),
                pid=os.getpid(),
                slots=self.settings.worker_slots,
                devices=[{"device": device} for device in self.devices] or [{"device": "cpu", "threads": self.threads}],
            )

    def _beat(self) -> None:
        while not self.stop.wait(self.settings.lease_seconds / 6):
            try:
                with self.store.begin() as session:
                    drain = workers.beat(session, self.id)
            except OperationalError as error:
                logger.warning("the database does not answer: %s", error)
                continue
            if drain and not self.drain.is_set():
                os.kill(os.getpid(), signal.SIGTERM)

    def _drain_now(self, **_: object) -> None:
        self.drain.set()


def find_devices() -> list[str]:
    """CUDA devices, asked in a process of its own: the parent must not touch CUDA before it forks."""
    # A waiting OpenMP thread must sleep, not spin: on a machine that does anything else spinning costs a factor of ten
    # (measured: 5 epochs of a small net beside other load 26 s spinning, 1.1 s sleeping). Inherited by every child.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    CONTEXT.set_forkserver_preload(PRELOADED)
    ours, theirs = CONTEXT.Pipe(duplex=False)
    process = CONTEXT.Process(target=_tell_devices, args=(theirs,))
    process.start()
    found: list[str] = ours.recv()
    process.join()
    return found


def _tell_devices(pipe: Any) -> None:
    import torch

    pipe.send([f"cuda:{index}" for index in range(torch.cuda.device_count())])
