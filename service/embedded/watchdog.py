"""A part of an embedded service ends when the process that started it does, however that came about."""

import os
import signal
import sys
import threading

VARIABLE = "TRAINWRIGHT_WATCH_STDIN"
"""Set for parts whose standard input is a pipe from their parent: its end is the parent's end."""


def end_with_parent() -> None:
    """Where the parent asked for it: a SIGTERM to this process when the parent is gone."""
    if os.environ.pop(VARIABLE, None):
        threading.Thread(target=_watch, name="watchdog", daemon=True).start()


def _watch() -> None:
    while os.read(sys.stdin.fileno(), 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
