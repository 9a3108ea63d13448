"""Ends a process of an embedded service with the process that started it, however that ended.

It imports nothing else of the service: each process calls it first.
"""

import os
import signal
import sys
import threading

VARIABLE = "TRAINWRIGHT_WATCH_STDIN"
"""Set for processes whose standard input is a pipe from their parent; it ends when the parent does."""


def end_with_parent() -> None:
    """Sends this process a SIGTERM when its parent is gone, if the parent asked for that."""
    if os.environ.pop(VARIABLE, None):
        threading.Thread(target=_watch, name="watchdog", daemon=True).start()


def _watch() -> None:
    while os.read(sys.stdin.fileno(), 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
