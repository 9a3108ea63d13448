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

    def heard(self, count: int) -> list[str]:
        """The ids in order, as soon as there are `count`."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self._ids) >= count, timeout=20), self._ids
            return list(self._ids)
