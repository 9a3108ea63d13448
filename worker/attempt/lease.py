"""The lease of one attempt: renewed in a thread of its own, however busy its owner is; and what it is asked to do."""

import logging
import threading
import time
from typing import Self

from sqlalchemy.exc import InterfaceError, OperationalError

from service.store import jobs
from service.store.jobs import Fence, Signal
from service.store.session import Store

logger = logging.getLogger(__name__)
AWAY = (OperationalError, InterfaceError)
"""What SQLAlchemy raises when the database does not answer (restarting, locked, connection cut)."""
PATIENCE = 0.75
"""An owner that could not renew for this share of the lease gives up: the job may be another's soon."""


class Lease:
    """Keeps an attempt while it is entered; `signal` is the latest word of the database."""

    def __init__(self, store: Store, fence: Fence) -> None:
        self.store, self.fence = store, fence
        self.signal = Signal.NONE
        self._renewed = time.monotonic()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep, name=f"lease-{fence.job_id}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    @property
    def patience_seconds(self) -> float:
        """How long the database may be away before the attempt is given up."""
        return self.store.settings.lease_seconds * PATIENCE

    def _keep(self) -> None:
        settings = self.store.settings
        pause = min(settings.stop_poll_seconds, settings.lease_seconds / 6)
        while self.signal is not Signal.LOST and not self._ended.wait(pause):
            try:
                self.signal = self._ask(settings.lease_seconds)
            except AWAY as error:
                if time.monotonic() - self._renewed > self.patience_seconds:
                    logger.error("job %s: the database has been away too long: %s", self.fence.job_id, error)
                    self.signal = Signal.LOST

    def _ask(self, lease_seconds: float) -> Signal:
        """Renews when it is time; else only looks, which costs one read."""
        started = time.monotonic()
        if started - self._renewed < lease_seconds / 6:
            with self.store.read() as session:
                return jobs.peek(session, self.fence)
        with self.store.begin() as session:
            signal = jobs.heartbeat(session, self.fence, lease_seconds)
        self._renewed = started
        return signal
