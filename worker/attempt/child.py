"""The training process: one attempt, in a session of its own, with one pipe to its supervisor.

The supervisor sends a StopReason when the run shall end; the process sends the engine's events, signs of life between
them, and at last `Finished` or `Failed`. When the supervisor's end of the pipe closes, the process exits: nobody
would read what it sends.

Its memory limit counts what it allocates (RLIMIT_DATA) and not all that it maps (RLIMIT_AS): CUDA maps more than any
machine has, and a mapped file's pages are the kernel's to take back.
"""

import os
import resource
import signal
import threading
import traceback
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path

from service.errors import (
    DiskFullError,
    OutOfMemoryError,
    Problem,
    RunError,
    TrainwrightError,
    UnavailableError,
    causes,
)
from service.events import Event
from service.specs import AnyStoredSpec
from service.specs.dataset import ImportSpec
from service.states import StopReason
from service.volumes import is_disk_full
from worker.attempt import stack_dump
from worker.attempt.signs_of_life import SignsOfLife
from worker.attempt.stop_on_finding import StopOnFinding
from worker.engine import run
from worker.engine.context import RunContext


@dataclass(frozen=True, slots=True)
class Failed:
    """The run raised; `trace` is for the log."""

    problem: Problem
    retryable: bool
    trace: str


@dataclass(frozen=True, slots=True)
class Finished:
    """The run's events are complete."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """What a process that waits is given to run."""

    spec: AnyStoredSpec
    context: RunContext
    memory_limit_bytes: int | None


def main(pipe: Connection) -> None:
    """Entry point of the process: waits for its assignment; one that is not needed any more ends without a word."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        assignment: Assignment = pipe.recv()
    except (EOFError, OSError):
        return
    _work(pipe, assignment.spec, assignment.context, assignment.memory_limit_bytes)


def _work(pipe: Connection, spec: AnyStoredSpec, context: RunContext, memory_limit_bytes: int | None) -> None:
    os.setsid()
    if memory_limit_bytes is not None:
        resource.setrlimit(resource.RLIMIT_DATA, (memory_limit_bytes, memory_limit_bytes))
    with suppress(OSError):  # short of memory, the kernel shall end this process and not the worker
        Path("/proc/self/oom_score_adj").write_text("500")
    stack_dump.answer_requests(context.scratch)
    request = _StopRequest(pipe)
    threading.Thread(target=request.listen, name="watchdog", daemon=True).start()
    try:
        finding_stop = StopOnFinding(spec, SignsOfLife(pipe.send, request.reason).reason)
        for event in _run(spec, replace(context, stop=finding_stop.reason)):
            for sent in finding_stop.forward(event):
                pipe.send(sent)
        pipe.send(Finished())
    except Exception as error:  # noqa: BLE001  (a process reports whatever ends it)
        pipe.send(_failure(error))


def _run(spec: AnyStoredSpec, context: RunContext) -> Iterator[Event]:
    if not isinstance(spec, ImportSpec):
        return run(spec, context)
    from worker.importing.import_job import run_import  # slow to import; the forkserver has it already

    return run_import(spec, context)


def _failure(error: Exception) -> Failed:
    trace = traceback.format_exc()
    if is_disk_full(error):
        return Failed(DiskFullError(str(error)).problem(), True, trace)
    if any(_says_lost_database(cause) for cause in causes(error)):
        return Failed(UnavailableError(f"the study's database did not answer: {error}").problem(), True, trace)
    if isinstance(error, TrainwrightError):
        return Failed(error.problem(), isinstance(error, RunError) and error.retryable, trace)
    return Failed(_unexpected(error), False, trace)


def _says_lost_database(error: BaseException) -> bool:
    """Whether it is what a driver, or SQLAlchemy, raises when a database does not answer; a search has one."""
    is_fault_of_statement = getattr(error, "sqlite_errorname", None) == "SQLITE_ERROR"
    kinds = [kind.__name__ for kind in type(error).__mro__]
    return "OperationalError" in kinds and not is_fault_of_statement


def _unexpected(error: Exception) -> Problem:
    from worker.engine.runtime.memory import is_out_of_memory

    if is_out_of_memory(error):
        return OutOfMemoryError(f"{error}. Try a smaller batch_size, a smaller model or fewer job slots.").problem()
    detail = (
        f"{type(error).__name__}: {error}. This is a fault of Trainwright's or of its set-up; the log has the trace."
    )
    return TrainwrightError(detail).problem()


class _StopRequest:
    """Why the supervisor asked the run to end, if it did."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._reason: StopReason | None = None

    def reason(self) -> StopReason | None:
        return self._reason

    def listen(self) -> None:
        try:
            while True:
                self._reason = self._pipe.recv()
        except (EOFError, OSError):
            os._exit(1)
