"""One attempt in this process: the real supervisor in a thread, with its real training process."""

import os
import threading
from typing import Self

from service.store import attempts
from service.store.attempts import Claim
from service.store.session import Store
from tests.worker.attempt.processes import training_process_of
from worker.attempt.supervisor import Supervisor
from worker.attempt.training_process import WaitingProcesses


class Attempt:
    """Claims a job and sees it through, like a worker; as a context manager in the background."""

    def __init__(self, store: Store, job_id: str, worker_id: str = "w1") -> None:
        with store.begin() as session:
            claim = attempts.claim(session, job_id, worker_id, store.settings.lease_seconds)
        assert claim is not None
        self.claim: Claim = claim
        self.drain = threading.Event()
        self.free: list[str] = []
        self.notified: list[str] = []
        self._processes = WaitingProcesses()
        self._supervisor = Supervisor(
            store,
            claim,
            device="cpu",
            threads=1,
            drain=self.drain,
            notify=self.notified.extend,
            processes=self._processes,
        )
        self._thread = threading.Thread(target=self._see_through)

    def _see_through(self) -> None:
        try:
            self.free = self._supervisor.run()
        finally:
            self._processes.close()

    def run(self) -> list[str]:
        """To the end; returns the jobs that can start now."""
        self._see_through()
        return self.free

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join()

    def child(self) -> int:
        """The training process, once there is one."""
        return training_process_of(os.getpid())

    def end(self) -> list[str]:
        """Waits for the end; returns the jobs that can start now."""
        self._thread.join()
        return self.free
