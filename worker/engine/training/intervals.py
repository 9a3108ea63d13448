"""When progress and checkpoints are due."""

import time

from service.specs.train import CheckpointSpec

PROGRESS_SECONDS = 0.2
"""Least time between two `Progress` events."""


class Clock:
    """Knows when the last progress and the last checkpoint were; nothing that is computed depends on it."""

    def __init__(self, spec: CheckpointSpec) -> None:
        self.spec = spec
        self._progress = 0.0
        self._saved = time.monotonic()

    def progress_due(self) -> bool:
        """Whether it is time to say how far the run is; asking counts as saying it."""
        now = time.monotonic()
        if now - self._progress < PROGRESS_SECONDS:
            return False
        self._progress = now
        return True

    def checkpoint_due(self, step: int) -> bool:
        """Whether the state after optimizer step `step` should be saved."""
        if self.spec.every_steps and step % self.spec.every_steps == 0:
            return True
        return time.monotonic() - self._saved >= self.spec.every_seconds

    def checkpoint_saved(self) -> None:
        """Starts the wait for the next checkpoint."""
        self._saved = time.monotonic()
