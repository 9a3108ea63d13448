"""One attempt: a process of its own, its events recorded, its lease renewed, its end told.

The supervisor never trains and the child never touches the database. Whatever the child does (ends, raises, crashes, is
killed, hangs) the supervisor lives on, and the job's row says what happened.
"""

import logging
import multiprocessing
import os
import signal
import threading
import time
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext, ForkServerProcess

from sqlalchemy.exc import OperationalError, SQLAlchemyError

from service.errors import Problem, ProcessDiedError, RunError, SupervisorError
from service.events import Log
from service.states import JobState, StopReason
from service.store import jobs, settle
from service.store.jobs import Claim, LostLeaseError, Signal
from service.store.session import Store
from worker import child
from worker.inputs import Inputs, discard, gather
from worker.messages import Failed, Finished
from worker.recorder import Recorder

logger = logging.getLogger(__name__)
CONTEXT: ForkServerContext = multiprocessing.get_context("forkserver")
BATCH_EVENTS = 2000
"""Events read from the pipe before the clock is looked at again."""
LEASE_SHARE = 0.75
"""A supervisor that could not renew for this share of the lease stops its child: the job may be another's soon."""


class Supervisor:
    """Runs one claimed attempt to its end; returns the ids of jobs that its end set free."""

    def __init__(self, store: Store, claim: Claim, *, device: str, threads: int, drain: threading.Event) -> None:
        self.store, self.claim, self.drain = store, claim, drain
        self.device, self.threads = device, threads
        self.recorder = Recorder(store, claim.fence, claim.dataset_id if claim.spec.kind == "import" else None)
        self.outcome: Failed | Finished | None = None
        self.asked: StopReason | None = None
        self._asked_at = self._killed = 0.0
        self._renewed = self._peeked = time.monotonic()

    def run(self) -> list[str]:
        """Starts, watches, finishes. A lost lease ends everything quietly: the job is someone else's."""
        try:
            inputs = gather(self.store, self.claim, device=self.device, threads=self.threads)
            self._supervise(inputs)
            return self._finish()
        except RunError as error:
            self.outcome = Failed(error.problem(), error.retryable, "")
            return self._finish()
        except Exception as error:  # noqa: BLE001  (whatever goes wrong here ends this attempt, never the worker)
            if not isinstance(error, LostLeaseError):
                return self._give_up(error)
            logger.warning("job %s: attempt %s is no longer ours", self.claim.fence.job_id, self.claim.fence.attempt)
            return []
        finally:
            discard(self.store, self.claim.fence.job_id)

    def _give_up(self, error: Exception) -> list[str]:
        """A fault of the supervisor's own: the attempt counts as lost; what was not written yet is dropped."""
        logger.exception("job %s: the supervisor failed", self.claim.fence.job_id)
        detail = f"{type(error).__name__}: {error}. This is a fault of Trainwright's or of its set-up."
        self.outcome = Failed(SupervisorError(detail).problem(), True, "")
        self.recorder.discard()
        try:
            return self._finish()
        except (LostLeaseError, SQLAlchemyError):
            logger.exception("job %s: its end could not be written; the sweeper will", self.claim.fence.job_id)
            return []

    def _supervise(self, inputs: Inputs) -> None:
        ours, theirs = CONTEXT.Pipe()
        limit = self.store.settings.memory_limit_bytes
        process = CONTEXT.Process(target=child.main, args=(theirs, inputs.spec, inputs.context, limit))
        process.start()
        theirs.close()
        try:
            while self.outcome is None:
                ended = not self._read(ours, process) and not process.is_alive()
                self._tick()
                self._obey(ours, process)
                if ended:
                    self.outcome = Failed(self._died(process), self.asked is None, "")
        finally:
            self._kill(process)
            ours.close()
            process.join()
            process.close()

    def _read(self, pipe: Connection, process: ForkServerProcess) -> bool:
        """Takes what the child has said; returns whether it said anything. Sleeps until it does or a poll is due."""
        pause = min(self.store.settings.stop_poll_seconds, 0.5)
        if pipe not in wait([pipe, process.sentinel], timeout=pause):
            return False
        for _ in range(BATCH_EVENTS):
            try:
                message = pipe.recv()
            except (EOFError, OSError):
                process.join(timeout=5)
                return False
            if isinstance(message, Failed | Finished):
                self.outcome = message
                return True
            self.recorder.add(message)
            if not pipe.poll():
                break
        return True

    def _obey(self, pipe: Connection, process: ForkServerProcess) -> None:
        """Renews the lease, asks what is wanted, passes it on, and kills a child that does not follow in time."""
        signalled = self._signal()
        if signalled is Signal.LOST:
            raise LostLeaseError(self.claim.fence.job_id)
        if self.asked is None and (reason := _reason(signalled, self.drain)) is not None:
            self.asked, self._asked_at = reason, time.monotonic()
            with suppress(BrokenPipeError):
                pipe.send(reason)
        overdue = self.asked is not None and time.monotonic() - self._asked_at > self.store.settings.grace_seconds
        if overdue and not self._killed:
            self._killed = time.monotonic()
            self.recorder.add(Log("the process did not stop in time and was killed", "warning"))
            self._kill(process)

    def _signal(self) -> Signal:
        settings, clock = self.store.settings, time.monotonic()
        try:
            if clock - self._renewed >= settings.lease_seconds / 6:
                with self.store.begin() as session:
                    signalled = jobs.heartbeat(session, self.claim.fence, settings.lease_seconds)
                self._renewed = self._peeked = clock
                return signalled
            if clock - self._peeked >= settings.stop_poll_seconds:
                with self.store.read() as session:
                    signalled = jobs.peek(session, self.claim.fence)
                self._peeked = clock
                return signalled
        except OperationalError as error:
            if clock - self._renewed > settings.lease_seconds * LEASE_SHARE:
                logger.error("the database has been away too long; stopping the job: %s", error)
                raise LostLeaseError(self.claim.fence.job_id) from error
            self._peeked = clock
        return Signal.NONE

    def _tick(self) -> None:
        """A database that is away for a moment costs nothing: the batch stays and is written by the next tick."""
        try:
            self.recorder.tick()
        except OperationalError as error:
            logger.warning("the database does not answer: %s", error)

    def _kill(self, process: ForkServerProcess) -> None:
        """Ends the whole process group, grandchildren included."""
        if process.pid is None:
            return
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        if process.is_alive():
            process.kill()

    def _died(self, process: ForkServerProcess) -> Problem:
        code = process.exitcode or 0
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"exited with code {code}"
        hint = " SIGKILL from outside is most often the kernel short of memory: try a smaller batch_size or model."
        return ProcessDiedError(
            f"the training process {how} at {self.recorder.progress:.0%} of the job.{hint if code == -9 else ''}"
        ).problem()

    def _finish(self) -> list[str]:
        """Writes the rest and ends the job, again and again until the database takes it or the lease is over."""
        last = time.monotonic() + self.store.settings.lease_seconds * LEASE_SHARE
        while True:
            try:
                self._log_trace()
                self.recorder.flush()
                return self._conclude()
            except OperationalError:
                if time.monotonic() > last:
                    raise
                logger.warning("the database does not answer; the job's end is written when it does")
                time.sleep(0.5)

    def _log_trace(self) -> None:
        if isinstance(self.outcome, Failed) and self.outcome.trace:
            self.recorder.add(Log(self.outcome.trace, "error"))
            self.outcome = Failed(self.outcome.problem, self.outcome.retryable, "")

    def _conclude(self) -> list[str]:
        """The end of the attempt: by what was asked for, else by how the child ended."""
        fence, failed = self.claim.fence, self.outcome if isinstance(self.outcome, Failed) else None
        reason = self.recorder.stop_reason
        with self.store.begin() as session:
            row = jobs.get(session, fence.job_id)
            if row.state == JobState.CANCELLING:
                return settle.end(session, row.id, JobState.CANCELLED, fence=fence, stop_reason=StopReason.CANCELLED)
            if row.state == JobState.PAUSING and (failed is None or failed.retryable or self._killed):
                jobs.transition(session, row.id, JobState.PAUSED, fence=fence, stop_reason=StopReason.PAUSED)
                return []
            if reason is StopReason.DRAINED or (failed and self.asked is StopReason.DRAINED):
                settle.requeue(session, fence, lost=False)
                return [row.id]
            if failed is None:
                return settle.end(session, row.id, JobState.SUCCEEDED, fence=fence, stop_reason=reason)
            if failed.retryable and row.lost_attempts + 1 < self.store.settings.max_attempts:
                settle.requeue(session, fence, lost=True)
                return [row.id]
            return settle.end(session, row.id, JobState.FAILED, fence=fence, error=failed.problem)


def _reason(signalled: Signal, drain: threading.Event) -> StopReason | None:
    match signalled:
        case Signal.CANCEL:
            return StopReason.CANCELLED
        case Signal.PAUSE:
            return StopReason.PAUSED
        case _:
            return StopReason.DRAINED if drain.is_set() else None
