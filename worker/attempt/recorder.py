"""Writes an attempt's events into the store, in batches, under its fencing token."""

import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, assert_never

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from service.datasets import imports
from service.events import (
    DatasetPacked,
    DatasetProfiled,
    EpochRecord,
    Event,
    FileSaved,
    Log,
    Phase,
    Progress,
    Reported,
    Resumed,
    RunnersWanted,
    StepRecord,
    Stopped,
)
from service.jobs import runners
from service.reports.dataset import DatasetContent, Profile
from service.reports.result import Report
from service.states import StopReason
from service.store import attempts, events, files, metrics, reports
from service.store.artifacts.interface import StoredFile
from service.store.attempts import Fence
from service.store.events import NewEvent
from service.store.session import Store, now
from worker.attempt.live_diagnosis import LiveDiagnosis

logger = logging.getLogger(__name__)
FLUSH_SECONDS, URGENT_SECONDS = 1.0, 0.1
"""A batch is written after so long; after the second one when people wait for something in it."""


@dataclass(frozen=True, slots=True)
class PendingFile:
    """A file that the training process has announced, moved aside until it is stored under its artifact key."""

    saved: FileSaved
    key: str
    path: Path


@dataclass
class Batch:
    """What has come in since the last commit."""

    points: list[StepRecord | EpochRecord] = field(default_factory=list)
    events: list[NewEvent] = field(default_factory=list)
    reports: dict[str, Report] = field(default_factory=dict)
    files: list[PendingFile] = field(default_factory=list)
    stored: list[StoredFile] = field(default_factory=list)
    content: DatasetContent | None = None
    profile: Profile | None = None
    columns: dict[str, Any] = field(default_factory=dict)
    latest: dict[str, float] = field(default_factory=dict)
    """The values of the last step."""
    truncate_after: int | None = None
    """The step after which an earlier attempt's points are deleted."""
    runners: RunnersWanted | None = None

    def __bool__(self) -> bool:
        return any((self.points, self.events, self.reports, self.files, self.content, self.columns, self.runners))


class Recorder:
    """Takes events in order. A batch stays until its transaction has committed: a database that was away loses none."""

    def __init__(self, store: Store, fence: Fence, dataset_id: str | None = None) -> None:
        self.store, self.fence, self.dataset_id = store, fence, dataset_id
        self.stop_reason: StopReason | None = None
        self.progress = 0.0
        self.startable: list[str] = []
        """Ids of the runners that a search has added and workers may take."""
        self._batch = Batch()
        self._due_at = time.monotonic() + FLUSH_SECONDS
        self._file_count = 0
        self._has_steps = False
        self._diagnosis = LiveDiagnosis(fence.job_id)

    def add(self, event: Event) -> None:
        """Takes one event; those that people wait for make the batch due soon. Makes no query."""
        batch = self._batch
        self._diagnosis.add(event)
        match event:
            case StepRecord():
                self._add_step(event)
            case EpochRecord():
                batch.points.append(event)
                batch.events.append(NewEvent("epoch", _epoch(event)))
            case Progress():
                self.progress = batch.columns["progress"] = min(max(event.fraction, 0.0), 1.0)
            case Phase():
                batch.columns["phase"] = event.name
                self._add_urgent(NewEvent("phase", {"phase": event.name}))
            case Log():
                batch.events.append(NewEvent("log", {"level": event.level, "message": event.message}, event.level))
            case FileSaved():
                self._add_file(event)
            case Reported():
                batch.reports[event.name] = event.report
                self._add_urgent(NewEvent("result", {"name": event.name}))
            case Resumed():
                batch.truncate_after, self._has_steps = event.step, True
                batch.columns["resume"] = kind = "exact" if event.exact else "approximate"
                self._add_urgent(NewEvent("resumed", {"step": event.step, "epoch": event.epoch, "resume": kind}))
            case DatasetPacked():
                batch.content = event.content
            case DatasetProfiled():
                batch.profile = event.profile
            case RunnersWanted():
                batch.runners = event
                self._hurry()
            case Stopped():
                self.stop_reason = event.reason
            case _:
                assert_never(event)

    @property
    def is_due(self) -> bool:
        """Whether it is time to write the batch."""
        return time.monotonic() >= self._due_at

    @property
    def seconds_until_due(self) -> float:
        """How long the batch may wait."""
        return max(self._due_at - time.monotonic(), 0.0)

    def flush(self, end: Callable[[Session], list[str]] | None = None) -> list[str]:
        """Writes everything in one transaction, with the attempt's `end` as its last part, and returns what that does.

        Raises LostLeaseError when another attempt has begun.
        """
        batch = self._batch
        self._due_at = time.monotonic() + FLUSH_SECONDS
        if not (batch or self._diagnosis.is_due or end):
            return []
        for file in batch.files[len(batch.stored) :]:
            batch.stored.append(self.store.artifacts.put(file.key, file.path))
        with self.store.begin() as session:
            # The renewal in the lease's own thread waits for this transaction, which a slow database makes a long one.
            lease_until = now(session) + timedelta(seconds=self.store.settings.lease_seconds)
            attempts.lock(session, self.fence, lease_until=lease_until, **batch.columns)
            outdated = self._write(session, batch)
            self._judge(session)
            startable = end(session) if end else []
        self._diagnosis.committed()
        self._batch = Batch()
        for key in outdated:
            self.store.artifacts.delete(key)
        return startable

    def _judge(self, session: Session) -> None:
        """A fault in a rule must not end a training: the run can be judged again from what is stored."""
        try:
            with session.begin_nested():
                self._diagnosis.judge(session)
        except SQLAlchemyError:
            raise
        except Exception:
            logger.exception("job %s: the diagnosis failed", self.fence.job_id)

    def discard(self) -> None:
        """Drops what has not been written."""
        self._batch = Batch()

    def _write(self, session: Session, batch: Batch) -> list[str]:
        job_id = self.fence.job_id
        if batch.truncate_after is not None:
            metrics.truncate_after(session, job_id, batch.truncate_after)
        metrics.write(session, job_id, batch.points)
        for name, report in batch.reports.items():
            reports.put(session, job_id, self.fence.attempt, name, report.model_dump(mode="json"))
        outdated = [
            key
            for file, stored in zip(batch.files, batch.stored, strict=True)
            if (key := self._put_row(session, file.saved, stored))
        ]
        if any(file.saved.role == "last" for file in batch.files):
            outdated += files.prune(session, job_id)
        if batch.runners is not None:
            self.startable = runners.start(session, job_id, batch.runners.spec, batch.runners.count)
        if batch.content is not None and self.dataset_id is not None:
            imports.fill(session, self.dataset_id, batch.content)
        if batch.profile is not None and self.dataset_id is not None:
            imports.note_profile(session, self.dataset_id, batch.profile)
        events.append(session, job_id, [*batch.events, *_summary(batch)])
        return outdated

    def _add_urgent(self, event: NewEvent) -> None:
        self._batch.events.append(event)
        self._hurry()

    def _hurry(self) -> None:
        self._due_at = min(self._due_at, time.monotonic() + URGENT_SECONDS)

    def _add_step(self, event: StepRecord) -> None:
        """The first step is written soon; in a later attempt it replaces what earlier ones recorded from it on."""
        if not self._has_steps:
            self._has_steps = True
            self._hurry()
            if self.fence.attempt > 1:
                self._batch.truncate_after = event.step - 1
        self._batch.points.append(event)
        self._batch.latest = {"step": event.step, "epoch": event.epoch, **event.values}

    def _add_file(self, event: FileSaved) -> None:
        """Moves the file aside at once, since the training process may write the next one in its place."""
        self._file_count += 1
        path = event.path.with_name(f"pending-{self._file_count:04d}-{event.path.name}")
        os.replace(event.path, path)
        self._batch.columns["holds"] = 0  # a job that stores files has what it was held for
        is_data = event.role == "dataset"
        owner = f"datasets/{self.dataset_id}" if is_data else f"jobs/{self.fence.job_id}"
        name = event.name if is_data else f"{self._file_count:04d}-{event.name}"
        self._batch.files.append(PendingFile(event, f"{owner}/attempt-{self.fence.attempt}/{name}", path))
        if not is_data:
            data = {"name": event.name, "role": event.role, "step": event.step, "epoch": event.epoch}
            self._add_urgent(NewEvent("checkpoint", data))

    def _put_row(self, session: Session, saved: FileSaved, stored: StoredFile) -> str | None:
        owner = self.dataset_id if saved.role == "dataset" and self.dataset_id else self.fence.job_id
        return files.put(
            session, owner, saved.name, saved.role, stored, step=saved.step, epoch=saved.epoch, metrics=saved.metrics
        )


def _epoch(event: EpochRecord) -> dict[str, Any]:
    return {
        "epoch": event.epoch,
        "step": event.step,
        "train": _finite(event.train),
        "val": _finite(event.val),
        "lr": event.lr,
        "is_best": event.is_best,
    }


def _summary(batch: Batch) -> list[NewEvent]:
    """One `metric` and one `progress` event a batch: the live view needs no more."""
    summary = []
    if batch.latest:
        shown = {name: value for name, value in batch.latest.items() if not name.startswith("grad/")}
        summary.append(NewEvent("metric", _finite(shown)))
    if "progress" in batch.columns:
        summary.append(NewEvent("progress", {"progress": batch.columns["progress"]}))
    return summary


def _finite(values: dict[str, float]) -> dict[str, float | None]:
    """The values with None for NaN and infinities, which JSON lacks."""
    return {name: value if abs(value) < float("inf") else None for name, value in values.items()}
