"""Records the jobs that workers were notified of; that happens after the answer is out, so tests wait for it."""

import threading
from collections.abc import Iterable


class Notifications:
    """Stands in for `service.notify.notify_workers`."""

    def __init__(self) -> None:
        self._ids: list[str] = []
        self._changed = threading.Condition()

    def notify(self, job_ids: Iterable[str]) -> bool:
        """Notes the ids."""
        with self._changed:
            self._ids.extend(job_ids)
            self._changed.notify_all()
        return True

    def received(self, *job_ids: str) -> bool:
        """Waits until workers were notified of exactly these, in this order; other jobs do not matter."""
        with self._changed:
            return self._changed.wait_for(
                lambda: [job_id for job_id in self._ids if job_id in job_ids] == list(job_ids), timeout=20
            )
