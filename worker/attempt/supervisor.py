"""One attempt: starts its process, records its events, renews its lease, and ends its job.

The supervisor never trains and the child never touches the database. Whatever the child does (ends, raises, crashes, is
killed, hangs) the supervisor lives on, and the job's row says what happened.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from service.errors import (
    DiskFullError,
    Problem,
    RunError,
    StalledError,
    SupervisorError,
    TrainwrightError,
    UnavailableError,
)
from service.events import Log
from service.jobs import completion, transitions
from service.states import JobState, StopReason
from service.store import attempts, jobs
from service.store.attempts import AttemptStatus, Claim, LostLeaseError
from service.store.session import Store
from service.volumes import disk_full, is_disk_full
from worker.attempt.child import Failed, Finished
from worker.attempt.inputs import delete_upload, discard, gather
from worker.attempt.lease import DATABASE_AWAY, Lease
from worker.attempt.recorder import Recorder
from worker.attempt.signs_of_life import Alive, Patience
from worker.attempt.training_process import TrainingProcess, WaitingProcesses

logger = logging.getLogger(__name__)
DATABASE_LOST = "the database did not answer"


class Supervisor:
    """Runs one claimed attempt to its end; `run` returns the ids of jobs that can start then."""

    def __init__(
        self,
        store: Store,
        claim: Claim,
        *,
        device: str,
        threads: int,
        drain: threading.Event,
        notify: Callable[[Iterable[str]], object],
        processes: WaitingProcesses,
    ) -> None:
        self.store, self.claim, self.drain, self.notify = store, claim, drain, notify
        self.device, self.threads, self.processes = device, threads, processes
        self.recorder = Recorder(store, claim.fence, claim.dataset_id if claim.spec.kind == "import" else None)
        self.lease = Lease(store, claim)
        self.patience = Patience(claim.spec, claim.limits)
        self.outcome: Failed | Finished | None = None
        self.asked: StopReason | None = None
        self._killed = self._has_reached_limit = self._is_held = False
        self._written_at = time.monotonic()

    def run(self) -> list[str]:
        """Starts, watches, finishes. A lost lease ends the attempt without a trace: the job is another worker's."""
        fence = self.claim.fence
        try:
            with self.lease:
                startable = self._run()
                self._delete_upload()
                return startable
        except LostLeaseError:
            logger.warning("job %s: attempt %s is another worker's by now", fence.job_id, fence.attempt)
            return []
        finally:
            discard(self.store, fence)

    def _delete_upload(self) -> None:
        try:
            delete_upload(self.store, self.claim)
        except DATABASE_AWAY as error:
            logger.warning("job %s: its upload is left to the sweeper: %s", self.claim.fence.job_id, error)

    def _run(self) -> list[str]:
        try:
            self._supervise()
            return self._finish()
        except LostLeaseError:
            if not self.lease.is_database_away:
                raise
            return self._give_up(UnavailableError(DATABASE_LOST))
        except Exception as error:  # noqa: BLE001  (whatever goes wrong here ends this attempt, never the worker)
            if isinstance(error, RunError) and not is_disk_full(error):
                self.outcome = Failed(error.problem(), error.retryable, "")
                return self._finish()
            return self._give_up(self._cause(error))

    def _supervise(self) -> None:
        settings = self.store.settings
        inputs = gather(self.store, self.claim, device=self.device, threads=self.threads)
        process = self.processes.take()
        try:
            process.run(inputs, settings.memory_limit_bytes)
            self.processes.add()
            while self.outcome is None:
                self._receive(process)
                self._write()
                self._pass_requests_on(process)
                self._end_if_stalled(process)
                if self.outcome is None and process.has_ended:
                    self.outcome = Failed(process.exit_error(self.recorder.progress).problem(), True, "")
            if isinstance(self.outcome, Failed):
                _raise_if_it_waits(self.outcome.problem)
        finally:
            process.close()

    def _receive(self, process: TrainingProcess) -> None:
        patience = min(self.store.settings.stop_poll_seconds, self.recorder.seconds_until_due)
        for message in process.messages(patience):
            self.patience.heard(message)
            if isinstance(message, Failed | Finished):
                self.outcome = message
                return
            if not isinstance(message, Alive):
                self.recorder.add(message)
            if self.recorder.is_due:
                return

    def _write(self) -> None:
        """Writes the batch when it is due; while the database is away it stays and is written later, or given up."""
        try:
            if self.recorder.is_due:
                self.recorder.flush()
                self._written_at = time.monotonic()
                self._notify_of_runners()
        except DATABASE_AWAY as error:
            logger.warning("the database does not answer: %s", error)
            if time.monotonic() - self._written_at > self.lease.patience_seconds:
                raise

    def _notify_of_runners(self) -> None:
        startable, self.recorder.startable = self.recorder.startable, []
        if startable:
            self.notify(startable)

    def _pass_requests_on(self, process: TrainingProcess) -> None:
        """Passes requests to stop on to the process, and kills it when it does not stop in time."""
        if self.lease.status is AttemptStatus.LOST:
            raise LostLeaseError(self.claim.fence.job_id)
        self._pause_at_limit()
        if self.asked is None and (reason := _stop_reason(self.lease.status, self.drain)) is not None:
            self.asked = reason
            process.ask(reason)
        if not self._killed and process.is_overdue(self.store.settings.grace_seconds):
            self._killed = True
            self.recorder.add(Log("the process did not stop in time and was killed", "warning"))
            process.kill()

    def _pause_at_limit(self) -> None:
        """Asks for a pause once the job has run as long as it may; the request is read with the lease, as any other."""
        most = self.claim.limits.seconds
        if most is None or self._has_reached_limit or self.lease.running_seconds < most:
            return
        with suppress(*DATABASE_AWAY):
            with self.store.begin() as session:
                transitions.pause_at_limit(session, self.claim.fence)
            self._has_reached_limit = True

    def _end_if_stalled(self, process: TrainingProcess) -> None:
        """A process that has been silent for too long has lost its attempt; its stacks go into the log."""
        if self.claim.spec.kind == "import" and process.silent_seconds and process.has_moved_bytes():
            process.silent_seconds = 0.0  # a download or an archive that is unpacked sends no events
        is_stopped = process.is_stopped
        patience = self.patience.seconds(is_stopped=is_stopped)
        if self.outcome is not None or process.has_ended or process.silent_seconds <= patience:
            return
        how = "is stopped (SIGSTOP)" if is_stopped else "has not advanced"
        detail = f"the training process {how}: no sign of life for {process.silent_seconds:.0f} s"
        stacks = "" if is_stopped else process.stacks()
        detail += ". The log has its stack." if stacks else ", and it did not answer with its stack."
        self.outcome = Failed(StalledError(detail).problem(), True, stacks)
        process.kill()

    def _finish(self) -> list[str]:
        """Writes the rest and ends the attempt, again and again until the database takes it or the lease is over.

        An attempt that is given back can wait for longer: its process has ended, and without the database this worker
        has nothing else to do.
        """
        if isinstance(self.outcome, Failed) and self.outcome.trace:
            self.recorder.add(Log(self.outcome.trace, "error"))
        last = time.monotonic() + self.lease.patience_seconds
        while True:
            try:
                return self.recorder.flush(self._end_attempt)
            except DATABASE_AWAY:
                if self.drain.is_set() if self._is_held else time.monotonic() > last:
                    raise
                logger.warning("the database does not answer; the job's end is written when it does")
                time.sleep(0.5)

    def _cause(self, error: Exception) -> TrainwrightError:
        """Why the supervisor cannot go on: a full disk, a lost database, or a fault of its own."""
        if (full := disk_full(self.store.settings, error)) is not None:
            return full
        if isinstance(error, UnavailableError):
            return error
        if isinstance(error, DATABASE_AWAY):
            return UnavailableError(DATABASE_LOST)
        logger.error("job %s: the supervisor failed", self.claim.fence.job_id, exc_info=error)
        return SupervisorError(f"{type(error).__name__}: {error}. This is a fault of Trainwright's or of its set-up.")

    def _give_up(self, cause: TrainwrightError) -> list[str]:
        """Ends the attempt; what was not written yet is dropped, from the disk too, which may be what is full.

        It counts as lost unless a full disk or a lost database is the cause: then the job is held.
        """
        fence = self.claim.fence
        self.outcome = Failed(cause.problem(), True, "")
        self._is_held = isinstance(cause, DiskFullError | UnavailableError)
        self.recorder.discard()
        discard(self.store, fence)
        try:
            return self._finish()
        except SQLAlchemyError:
            logger.exception("job %s: its end could not be written; the sweeper will", fence.job_id)
            return []

    def _end_attempt(self, session: Session) -> list[str]:
        """Moves the job to its next state: by what was asked for, else by how the process ended."""
        fence, failed = self.claim.fence, self.outcome if isinstance(self.outcome, Failed) else None
        reason = self.recorder.stop_reason
        attempts.lock(session, fence, running_seconds=self.lease.running_seconds)
        row = jobs.get(session, fence.job_id)
        if row.state == JobState.CANCELLING:
            return completion.end(session, row.id, JobState.CANCELLED, fence=fence, stop_reason=StopReason.CANCELLED)
        if row.state == JobState.PAUSING and _has_work_left(failed, reason):
            transitions.finish_pause(session, row, fence)
            return []
        if reason is StopReason.DRAINED or (failed and failed.retryable and self.asked is StopReason.DRAINED):
            completion.requeue(session, fence, lost=False)
            return [row.id]
        if failed and self._is_held:
            completion.hold(session, fence, failed.problem.detail, self.store.settings.hold_seconds)
            return []
        if failed is None:
            return completion.end(session, row.id, JobState.SUCCEEDED, fence=fence, stop_reason=reason)
        if failed.retryable and row.lost_attempts + 1 < self.store.settings.max_attempts:
            completion.requeue(session, fence, lost=True, why=failed.problem.detail)
            return [row.id]
        return completion.end(session, row.id, JobState.FAILED, fence=fence, error=failed.problem)


def _has_work_left(failed: Failed | None, reason: StopReason | None) -> bool:
    """Whether a job that is to be paused has something left to do; one that completed meanwhile has succeeded."""
    return failed.retryable if failed else reason in (StopReason.PAUSED, StopReason.DRAINED)


def _raise_if_it_waits(problem: Problem) -> None:
    """Raises what a training process met that is no fault of the job's."""
    for kind in (DiskFullError, UnavailableError):
        if problem.code == kind.code:
            raise kind(problem.detail)


def _stop_reason(status: AttemptStatus, drain: threading.Event) -> StopReason | None:
    match status:
        case AttemptStatus.CANCEL_REQUESTED:
            return StopReason.CANCELLED
        case AttemptStatus.PAUSE_REQUESTED:
            return StopReason.PAUSED
        case _:
            return StopReason.DRAINED if drain.is_set() else None
