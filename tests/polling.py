"""Waits for what another thread or process does."""

import time
from collections.abc import Callable
from typing import TypeVar

PATIENCE_SECONDS = 120.0
"""A machine that runs other things may be slow; nothing is asserted about time."""
Found = TypeVar("Found")


def eventually(look: Callable[[], Found | None], why: Callable[[], str] = lambda: "") -> Found:
    """What `look` returns once it is neither None nor False."""
    last = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < last:
        found = look()
        if found is not None and found is not False:
            return found
        time.sleep(0.02)
    raise AssertionError(f"it did not happen. {why()}")
