"""Processes as the kernel sees them, and `python -m worker` as one of them."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Self

from service.store.session import Store
from tests.polling import PATIENCE_SECONDS, eventually

ROOT = Path(__file__).resolve().parents[3]


def children_of(pid: int) -> list[int]:
    """Processes whose parent is `pid`."""
    children = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(status.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue  # it ended meanwhile
        if parent == pid:
            children.append(int(status.parent.name))
    return children


def has_ended(pid: int) -> bool:
    """Whether a process runs no more, waited for or not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def resident_bytes(pid: int) -> int:
    """The most memory that a process has had."""
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def training_process_of(pid: int) -> int:
    """The training process of a supervisor in process `pid`, once there is one."""
    return eventually(lambda: next(iter(training_processes_of(pid)), None))


def training_processes_of(pid: int) -> list[int]:
    """The training processes of the supervisors in process `pid`: those that have a session of their own."""
    servers = [child for child in children_of(pid) if b"forkserver" in _command(child)]
    return [child for server in servers for child in children_of(server) if _session(child) == child]


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return None


class WorkerProcess:
    """`python -m worker` on a store; ends with its context."""

    def __init__(self, store: Store) -> None:
        settings = store.settings
        given = settings.model_dump(exclude_defaults=True, mode="json")
        self._environment = {
            **os.environ,
            **{f"TRAINWRIGHT_{name.upper()}": str(value) for name, value in given.items()},
            "OMP_NUM_THREADS": "1",
        }
        self._log = settings.home / f"worker-{id(self)}.log"

    def __enter__(self) -> Self:
        with self._log.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "worker"], cwd=ROOT, env=self._environment, stdout=out, stderr=subprocess.STDOUT
            )
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            try:
                self.process.wait(PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    @property
    def log(self) -> str:
        """What it has said."""
        return self._log.read_text()

    def kill(self) -> None:
        """SIGKILL: no time for a last word."""
        self.process.kill()
        self.process.wait()
