"""The training process: one attempt, in a session of its own. It speaks to its supervisor through one pipe.

Down the pipe comes a StopReason when the run shall end; up go the engine's events. When the pipe ends, the supervisor
is gone, and so is this process: an orphan would train for nobody.

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
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

from service.errors import OutOfMemoryError, Problem, RunError, TrainwrightError
from service.events import Event
from service.specs import AnyStoredSpec
from service.specs.dataset import ImportSpec
from service.states import StopReason
from worker.attempt.messages import Failed, Finished
from worker.attempt.stop_on_finding import Guard
from worker.engine import run
from worker.engine.context import RunContext


def main(pipe: Connection, spec: AnyStoredSpec, context: RunContext, memory_limit_bytes: int | None) -> None:
    """Entry point of the process."""
    os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if memory_limit_bytes is not None:
        resource.setrlimit(resource.RLIMIT_DATA, (memory_limit_bytes, memory_limit_bytes))
    with suppress(OSError):  # short of memory, the kernel shall end this process and not the worker
        Path("/proc/self/oom_score_adj").write_text("500")
    wish = _Wish(pipe)
    threading.Thread(target=wish.listen, name="watchdog", daemon=True).start()
    try:
        guard = Guard(spec, wish.reason)
        for event in _events(spec, replace(context, stop=guard.reason)):
            for told in guard.passed(event):
                pipe.send(told)
        pipe.send(Finished())
    except TrainwrightError as error:
        retryable = isinstance(error, RunError) and error.retryable
        pipe.send(Failed(error.problem(), retryable, traceback.format_exc()))
    except Exception as error:  # noqa: BLE001  (the last resort of a process: whatever it was is told, then it ends)
        pipe.send(Failed(_unexpected(error), False, traceback.format_exc()))


def _events(spec: AnyStoredSpec, context: RunContext) -> Iterator[Event]:
    if not isinstance(spec, ImportSpec):
        return run(spec, context)
    from worker.importing.pipeline import run_import  # slow to import; the forkserver has it already

    return run_import(spec, context)


def _unexpected(error: Exception) -> Problem:
    from worker.engine.runtime.memory import is_out_of_memory

    if is_out_of_memory(error):
        return OutOfMemoryError(f"{error}. Try a smaller batch_size, a smaller model or fewer job slots.").problem()
    detail = (
        f"{type(error).__name__}: {error}. This is a fault of Trainwright's or of its set-up; the log has the trace."
    )
    return TrainwrightError(detail).problem()


class _Wish:
    """What the supervisor asked for, if anything."""

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
