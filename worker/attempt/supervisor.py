"""One attempt: a process of its own, its events recorded, its lease renewed, its end told.

The supervisor never trains and the child never touches the database. Whatever the child does (ends, raises, crashes, is
killed, hangs) the supervisor lives on, and the job's row says what happened.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable

from sqlalchemy.exc import SQLAlchemyError

from service.errors import RunError, SupervisorError
from service.events import Log
from service.jobs import completion
from service.states import JobState, StopReason
from service.store import jobs
from service.store.jobs import Claim, LostLeaseError, Signal
from service.store.session import Store
from worker.attempt.inputs import discard, forget_upload, gather
from worker.attempt.lease import AWAY, Lease
from worker.attempt.messages import Failed, Finished
from worker.attempt.recorder import Recorder
from worker.attempt.training_process import TrainingProcess

logger = logging.getLogger(__name__)


class Supervisor:
    """Runs one claimed attempt to its end; returns the ids of jobs that its end set free."""

    def __init__(
        self,
        store: Store,
        claim: Claim,
        *,
        device: str,
        threads: int,
        drain: threading.Event,
        notify: Callable[[Iterable[str]], object],
    ) -> None:
        self.store, self.claim, self.drain, self.notify = store, claim, drain, notify
        self.device, self.threads = device, threads
        self.recorder = Recorder(store, claim.fence, claim.dataset_id if claim.spec.kind == "import" else None)
        self.lease = Lease(store, claim.fence)
        self.outcome: Failed | Finished | None = None
        self.asked: StopReason | None = None
        self._killed = False

    def run(self) -> list[str]:
        """Starts, watches, finishes. A lost lease ends everything quietly: the job is someone else's."""
        fence = self.claim.fence
        try:
            with self.lease:
                free = self._run()
                self._forget_upload()
                return free
        except LostLeaseError:
            logger.warning("job %s: attempt %s is no longer ours", fence.job_id, fence.attempt)
            return []
        finally:
            discard(self.store, fence)

    def _forget_upload(self) -> None:
        try:
            forget_upload(self.store, self.claim)
        except AWAY as error:
            logger.warning("job %s: its upload is left to the sweeper: %s", self.claim.fence.job_id, error)

    def _run(self) -> list[str]:
        try:
            self._supervise()
            return self._finish()
        except LostLeaseError:
            raise
        except RunError as error:
            self.outcome = Failed(error.problem(), error.retryable, "")
            return self._finish()
        except Exception as error:  # noqa: BLE001  (whatever goes wrong here ends this attempt, never the worker)
            return self._give_up(error)

    def _supervise(self) -> None:
        settings = self.store.settings
        inputs = gather(self.store, self.claim, device=self.device, threads=self.threads)
        process = TrainingProcess(inputs, settings.memory_limit_bytes)
        try:
            while self.outcome is None:
                self._listen(process)
                self._write()
                self._obey(process)
                if self.outcome is None and process.is_silent:
                    self.outcome = Failed(process.death(self.recorder.progress).problem(), True, "")
        finally:
            process.close()

    def _listen(self, process: TrainingProcess) -> None:
        for message in process.messages(self.store.settings.stop_poll_seconds):
            if isinstance(message, Failed | Finished):
                self.outcome = message
                return
            self.recorder.add(message)
            if self.recorder.is_due:
                return

    def _write(self) -> None:
        """A database that is away for a moment costs nothing: the batch stays and is written by a later turn."""
        try:
            if self.recorder.is_due:
                self.recorder.flush()
                self._notify_of_waiting()
        except AWAY as error:
            logger.warning("the database does not answer: %s", error)

    def _notify_of_waiting(self) -> None:
        waiting, self.recorder.waiting = self.recorder.waiting, []
        if waiting:
            self.notify(waiting)

    def _obey(self, process: TrainingProcess) -> None:
        """Passes on what is asked for, and kills a child that does not follow in time."""
        if self.lease.signal is Signal.LOST:
            raise LostLeaseError(self.claim.fence.job_id)
        if self.asked is None and (reason := _reason(self.lease.signal, self.drain)) is not None:
            self.asked = reason
            process.ask(reason)
        if not self._killed and process.is_overdue(self.store.settings.grace_seconds):
            self._killed = True
            self.recorder.add(Log("the process did not stop in time and was killed", "warning"))
            process.kill()

    def _finish(self) -> list[str]:
        """Writes the rest and ends the job, again and again until the database takes it or the lease is over."""
        if isinstance(self.outcome, Failed) and self.outcome.trace:
            self.recorder.add(Log(self.outcome.trace, "error"))
        last = time.monotonic() + self.lease.patience_seconds
        while True:
            try:
                self.recorder.flush()
                return self._conclude()
            except AWAY:
                if time.monotonic() > last:
                    raise
                logger.warning("the database does not answer; the job's end is written when it does")
                time.sleep(0.5)

    def _give_up(self, error: Exception) -> list[str]:
        """A fault of the supervisor's own: the attempt counts as lost; what was not written yet is dropped."""
        fence = self.claim.fence
        logger.exception("job %s: the supervisor failed", fence.job_id)
        detail = f"{type(error).__name__}: {error}. This is a fault of Trainwright's or of its set-up."
        self.outcome = Failed(SupervisorError(detail).problem(), True, "")
        self.recorder.discard()
        try:
            return self._finish()
        except SQLAlchemyError:
            logger.exception("job %s: its end could not be written; the sweeper will", fence.job_id)
            return []

    def _conclude(self) -> list[str]:
        """The end of the attempt: by what was asked for, else by how the child ended."""
        fence, failed = self.claim.fence, self.outcome if isinstance(self.outcome, Failed) else None
        reason = self.recorder.stop_reason
        with self.store.begin() as session:
            jobs.hold(session, fence)
            row = jobs.get(session, fence.job_id)
            if row.state == JobState.CANCELLING:
                return completion.end(
                    session, row.id, JobState.CANCELLED, fence=fence, stop_reason=StopReason.CANCELLED
                )
            if row.state == JobState.PAUSING and _may_go_on(failed, reason):
                jobs.transition(session, row.id, JobState.PAUSED, fence=fence, stop_reason=StopReason.PAUSED)
                return []
            if reason is StopReason.DRAINED or (failed and failed.retryable and self.asked is StopReason.DRAINED):
                completion.requeue(session, fence, lost=False)
                return [row.id]
            if failed is None:
                return completion.end(session, row.id, JobState.SUCCEEDED, fence=fence, stop_reason=reason)
            if failed.retryable and row.lost_attempts + 1 < self.store.settings.max_attempts:
                completion.requeue(session, fence, lost=True, why=failed.problem.detail)
                return [row.id]
            return completion.end(session, row.id, JobState.FAILED, fence=fence, error=failed.problem)


def _may_go_on(failed: Failed | None, reason: StopReason | None) -> bool:
    """Whether a job that is to be paused has something left to do; one that completed meanwhile has succeeded."""
    return failed.retryable if failed else reason in (StopReason.PAUSED, StopReason.DRAINED)


def _reason(signalled: Signal, drain: threading.Event) -> StopReason | None:
    match signalled:
        case Signal.CANCEL:
            return StopReason.CANCELLED
        case Signal.PAUSE:
            return StopReason.PAUSED
        case _:
            return StopReason.DRAINED if drain.is_set() else None
