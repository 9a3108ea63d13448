"""A doorbell that notes who rang; it rings after the answer is out, so tests wait for it."""

import threading
from collections.abc import Iterable


class Bell:
    """Stands in for `queue.ring`."""

    def __init__(self) -> None:
        self._ids: list[str] = []
        self._changed = threading.Condition()

    def ring(self, job_ids: Iterable[str]) -> bool:
        """Notes the ids."""
        with self._changed:
            self._ids.extend(job_ids)
            self._changed.notify_all()
        return True

    def hears(self, *job_ids: str) -> bool:
        """Waits until exactly these were rung for, in this order; what rings for other jobs does not matter."""
        with self._changed:
            return self._changed.wait_for(
                lambda: [each for each in self._ids if each in job_ids] == list(job_ids), timeout=20
            )
