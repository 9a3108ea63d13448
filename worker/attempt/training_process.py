"""The process of one attempt, as its supervisor handles it: start, messages, requests to stop, kill, exit code."""

import multiprocessing
import os
import signal
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing import forkserver
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path

from service.errors import ProcessDiedError
from service.events import Event
from service.states import StopReason
from worker.attempt import child, stack_dump
from worker.attempt.child import Assignment, Failed, Finished
from worker.attempt.inputs import Inputs
from worker.attempt.signs_of_life import Alive

CONTEXT: ForkServerContext = multiprocessing.get_context("forkserver")
BATCH_EVENTS = 2000
"""Events read from the pipe before the supervisor turns to the lease and the database again."""
HINTS = {
    signal.SIGKILL: "If nobody killed it, the kernel was short of memory: try a smaller batch_size or model.",
    signal.SIGBUS: "The shared memory or the disk is full.",
    signal.SIGSEGV: "A native library crashed.",
    signal.SIGABRT: "A native library gave up, perhaps short of memory.",
}


PRELOAD = (
    "worker.attempt.child",
    "worker.attempt.shared_study",
    "worker.engine.preload",
    "worker.importing.import_job",
)
"""Modules that the forkserver imports: training processes then start in milliseconds. It skips those it cannot find."""


def start_forkserver() -> None:
    """Starts the server that training processes are forked from; it imports torch and the engine meanwhile.

    Threads of OpenMP that wait for each other sleep instead of spinning: on cores that are shared with anything else,
    spinning made small models 15 times slower (2 busy cores, the default model: 15.9 s against 1.1 s for 4 epochs).
    """
    if "GOMP_SPINCOUNT" not in os.environ:
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    CONTEXT.set_forkserver_preload(list(PRELOAD))
    forkserver.ensure_running()


class WaitingProcesses:
    """Processes that have started and wait for a job: the start of one takes as long as a tiny job."""

    def __init__(self) -> None:
        self._waiting: deque[TrainingProcess] = deque()

    def take(self) -> "TrainingProcess":
        """One that waits; a new one when there is none."""
        with suppress(IndexError):
            while True:
                process = self._waiting.popleft()
                if process.is_alive:
                    return process
                process.close()
        return TrainingProcess()

    def add(self) -> None:
        """Starts one for a later job."""
        self._waiting.append(TrainingProcess())

    def close(self) -> None:
        """Ends all that wait."""
        while self._waiting:
            self._waiting.popleft().close()


class TrainingProcess:
    """A child and the pipe to it; it waits until it is told what to run, then in a session of its own."""

    def __init__(self) -> None:
        self._pipe: Connection
        self._pipe, theirs = CONTEXT.Pipe()
        self._process: ForkServerProcess = CONTEXT.Process(target=child.main, args=(theirs,))
        self._process.start()
        theirs.close()
        self._scratch: Path | None = None
        self._has_ended = False
        self.silent_seconds = 0.0
        """Time that the supervisor has waited in vain since the last message; its own pauses do not count."""
        self._moved_bytes = 0
        self.asked_at: float | None = None

    @property
    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self._process.is_alive()

    def run(self, inputs: Inputs, memory_limit_bytes: int | None) -> None:
        """Tells the process what to run; one that has died meanwhile is seen to have ended."""
        self._scratch = inputs.context.scratch
        with suppress(BrokenPipeError, ConnectionResetError):
            self._pipe.send(Assignment(inputs.spec, inputs.context, memory_limit_bytes))

    def messages(self, timeout_seconds: float) -> Iterator[Event | Alive | Failed | Finished]:
        """What the process has sent by now; waits for the first message at most `timeout_seconds`."""
        started = time.monotonic()
        if self._pipe not in wait([self._pipe, self._process.sentinel], timeout=timeout_seconds):
            self._has_ended = not self._process.is_alive()
            self.silent_seconds += min(time.monotonic() - started, 2 * timeout_seconds)
            return
        self.silent_seconds = 0.0
        for _ in range(BATCH_EVENTS):
            try:
                message: Event | Alive | Failed | Finished = self._pipe.recv()
            except (EOFError, OSError):
                self._process.join(timeout=5)
                self._has_ended = True
                return
            yield message
            if not self._pipe.poll():
                return

    @property
    def has_ended(self) -> bool:
        """Whether the process has ended and its last message has been read."""
        return self._has_ended

    def ask(self, reason: StopReason) -> None:
        """Asks the run to end at its next step."""
        self.asked_at = time.monotonic()
        with suppress(BrokenPipeError, ConnectionResetError):
            self._pipe.send(reason)

    def is_overdue(self, grace_seconds: float) -> bool:
        """Whether it was asked to end longer than this ago."""
        return self.asked_at is not None and time.monotonic() - self.asked_at > grace_seconds

    @property
    def is_stopped(self) -> bool:
        """Whether a signal (SIGSTOP) keeps it from running."""
        try:
            return Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
        except OSError:
            return False

    def has_moved_bytes(self) -> bool:
        """Whether it has read or written anything (a file, a download) since this was asked last."""
        before = self._moved_bytes
        try:
            counters = Path(f"/proc/{self._process.pid}/io").read_text().split()
        except OSError:
            return False
        self._moved_bytes = int(counters[1]) + int(counters[3])  # rchar: and wchar:
        return self._moved_bytes != before

    def stacks(self) -> str:
        """What each of its threads does, empty when it does not answer."""
        return stack_dump.request(self._process.pid, self._scratch) if self._process.pid and self._scratch else ""

    def kill(self) -> None:
        """Kills the whole process group, grandchildren included; messages that were sent can still be read."""
        if (pid := self._process.pid) is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)
        if self._process.is_alive():  # killed before it had a session of its own
            self._process.kill()

    def close(self) -> None:
        """Kills the process if it has not ended, and frees what belongs to it."""
        self.kill()
        self._pipe.close()
        self._process.join()
        self._process.close()

    def exit_error(self, progress: float) -> ProcessDiedError:
        """Why it ended without a result, as far as its exit code says."""
        code = self._process.exitcode or 0
        if code < 0:
            how, hint = f"was ended by {signal.Signals(-code).name}", HINTS.get(signal.Signals(-code), "")
        else:
            how, hint = f"exited with code {code} without a result", ""
        return ProcessDiedError(f"the training process {how} at {progress:.0%} of the job. {hint}".strip())
