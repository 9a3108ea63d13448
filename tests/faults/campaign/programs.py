"""The service's programs as processes that end, are killed and are started again."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from service.embedded.processes import terminate
from tests.polling import PATIENCE_SECONDS
from tests.worker.attempt.processes import ROOT, children_of

TRAINWRIGHT = (sys.executable, "-m", "service.cli.main")


class Program:
    """One program; `start` starts it unless it runs, as a supervisor of services does."""

    def __init__(self, name: str, command: Sequence[str], environment: dict[str, str], logs: Path) -> None:
        self.name, self._command, self._environment = name, command, environment
        self.log = logs / f"{name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def is_alive(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Of the process that was started last."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Starts it."""
        with self.log.open("ab") as out:
            self._process = subprocess.Popen(
                self._command,
                cwd=ROOT,
                env={**os.environ, **self._environment},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
            )

    def end(self) -> None:
        """Asks it to end, and kills it when it does not."""
        if self._process is not None:
            kill(signal.SIGCONT, self.pid)
            terminate(self._process, PATIENCE_SECONDS)


def kill(number: signal.Signals, *pids: int) -> None:
    """Sends a signal to each of these that still runs."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def descendants(pid: int) -> list[int]:
    """Children, grandchildren and so on."""
    return [other for child in children_of(pid) for other in (child, *descendants(child))]


def command_of(pid: int) -> bytes:
    """The words of its command line, each ended by a zero byte; empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def job_of(pid: int) -> str | None:
    """The job that a training process works on: the file for its stacks in HOME/scratch/JOB/ATTEMPT is open."""
    with suppress(OSError):
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            path = Path(os.readlink(descriptor))
            if path.name == "stacks.txt":
                return path.parents[1].name
    return None
