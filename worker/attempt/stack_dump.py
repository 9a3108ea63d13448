"""The stacks of all threads of a training process, written by itself when its supervisor asks with a signal.

`faulthandler` answers from the signal handler: also while the main thread is deep in native code or waits for a lock.
"""

import faulthandler
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

REQUEST = signal.SIGUSR2
WAIT_SECONDS, POLL_SECONDS = 5.0, 0.2
MOST_CHARACTERS = 20_000


def answer_requests(scratch: Path) -> None:
    """In the training process: writes the stacks into a file of the scratch folder whenever they are asked for."""
    faulthandler.register(REQUEST, file=_path(scratch).open("wb"), all_threads=True)


def request(pid: int, scratch: Path) -> str:
    """Asks the process for its stacks; empty when it does not answer in time, as a stopped process cannot."""
    path, seen = _path(scratch), b""
    if not path.exists():
        return ""  # the process would die of the signal: it does not listen for it yet
    with suppress(ProcessLookupError):
        os.kill(pid, REQUEST)
    last = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < last:
        time.sleep(POLL_SECONDS)
        written = path.read_bytes()
        if written and written == seen:
            break
        seen = written
    return seen.decode(errors="replace")[:MOST_CHARACTERS]


def _path(scratch: Path) -> Path:
    return scratch / "stacks.txt"
