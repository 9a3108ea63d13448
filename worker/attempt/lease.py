"""The lease of one attempt, renewed in a thread of its own, and the requests to stop that are read with it."""

import logging
import threading
import time
from typing import Self

from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from service.store import attempts
from service.store.attempts import AttemptStatus, Claim
from service.store.session import Store

logger = logging.getLogger(__name__)
DATABASE_AWAY = (OperationalError, InterfaceError, PoolTimeoutError)
"""What SQLAlchemy raises when the database does not answer (restarting, locked, full, connection cut or refused)."""
GIVE_UP_SHARE = 0.75
"""An attempt that could not be renewed for this share of the lease is given up: another worker may have it soon."""


class Lease:
    """Renews the claim on an attempt while it is entered; `status` is what the database said last."""

    def __init__(self, store: Store, claim: Claim) -> None:
        self.store, self.fence, self._ran_before = store, claim.fence, claim.running_seconds
        self._started_at = time.monotonic()
        self.status = AttemptStatus.CURRENT
        self.is_database_away = False
        """Whether the status is LOST since the database did not answer, and not by what it answered."""
        self._renewed_at = time.monotonic()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._renew_until_lost, name=f"lease-{claim.fence.job_id}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    @property
    def running_seconds(self) -> float:
        """How long the job has run in this attempt and those before it."""
        return self._ran_before + time.monotonic() - self._started_at

    @property
    def patience_seconds(self) -> float:
        """How long the database may be away before the attempt is given up."""
        return self.store.settings.lease_seconds * GIVE_UP_SHARE

    def _renew_until_lost(self) -> None:
        settings = self.store.settings
        pause = min(settings.stop_poll_seconds, settings.lease_seconds / 6)
        while self.status is not AttemptStatus.LOST and not self._ended.wait(pause):
            try:
                self.status = self._update(settings.lease_seconds)
            except DATABASE_AWAY as error:
                if time.monotonic() - self._renewed_at > self.patience_seconds:
                    logger.error("job %s: the database has been away too long: %s", self.fence.job_id, error)
                    self.is_database_away, self.status = True, AttemptStatus.LOST

    def _update(self, lease_seconds: float) -> AttemptStatus:
        """Renews the lease when a sixth of it has passed; else reads the status, which costs one query."""
        started = time.monotonic()
        if started - self._renewed_at < lease_seconds / 6:
            with self.store.read() as session:
                return attempts.status(session, self.fence)
        with self.store.begin() as session:
            status = attempts.heartbeat(session, self.fence, lease_seconds, self.running_seconds)
        self._renewed_at = started
        return status
