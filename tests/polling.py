"""Waits for what another thread or process does."""

import time
from collections.abc import Callable
from typing import TypeVar

PATIENCE_SECONDS = 120.0
"""A machine that runs other things may be slow; nothing is asserted about time."""
Seen = TypeVar("Seen")


def eventually(
    look: Callable[[], Seen | None], why: Callable[[], str] = lambda: "", patience_seconds: float = PATIENCE_SECONDS
) -> Seen:
    """What `look` returns once it is neither None nor False."""
    last = time.monotonic() + patience_seconds
    while time.monotonic() < last:
        seen = look()
        if seen is not None and seen is not False:
            return seen
        time.sleep(0.02)
    raise AssertionError(f"it did not happen. {why()}")
