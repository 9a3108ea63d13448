"""Writes an attempt's events into the store, in batches, under its fencing token."""

import time
from dataclasses import dataclass, field
from typing import Any, assert_never

from sqlalchemy.orm import Session

from service.events import (
    DatasetPacked,
    EpochRecord,
    Event,
    FileSaved,
    Log,
    Phase,
    Progress,
    Reported,
    Resumed,
    StepRecord,
    Stopped,
)
from service.reports.dataset import DatasetContent
from service.reports.result import Report
from service.states import StopReason
from service.store import datasets, events, files, jobs, metrics, reports
from service.store.artifacts import StoredFile
from service.store.events import NewEvent
from service.store.jobs import Fence
from service.store.session import Store

FLUSH_SECONDS = 1.0


@dataclass
class Batch:
    """What has come in since the last commit."""

    points: list[StepRecord | EpochRecord] = field(default_factory=list)
    events: list[NewEvent] = field(default_factory=list)
    reports: dict[str, Report] = field(default_factory=dict)
    files: list[tuple[FileSaved, StoredFile]] = field(default_factory=list)
    content: DatasetContent | None = None
    columns: dict[str, Any] = field(default_factory=dict)
    latest: dict[str, float] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return any((self.points, self.events, self.reports, self.files, self.content, self.columns))


class Recorder:
    """Takes events in order. A batch stays until its transaction has committed: a database that was away loses none."""

    def __init__(self, store: Store, fence: Fence, dataset_id: str | None = None) -> None:
        self.store, self.fence, self.dataset_id = store, fence, dataset_id
        self.stop_reason: StopReason | None = None
        self.progress = 0.0
        self._batch = Batch()
        self._due = 0.0

    def add(self, event: Event) -> None:
        """Takes one event; those that people wait for are written at once."""
        batch = self._batch
        match event:
            case StepRecord():
                batch.points.append(event)
                batch.latest = {"step": event.step, "epoch": event.epoch, **event.values}
            case EpochRecord():
                batch.points.append(event)
                batch.events.append(NewEvent("epoch", _epoch(event)))
            case Progress():
                self.progress = batch.columns["progress"] = min(max(event.fraction, 0.0), 1.0)
            case Phase():
                batch.columns["phase"] = event.name
                batch.events.append(NewEvent("phase", {"phase": event.name}))
                self.flush()
            case Log():
                batch.events.append(NewEvent("log", {"level": event.level, "message": event.message}, event.level))
            case FileSaved():
                self._take(event)
            case Reported():
                batch.reports[event.name] = event.report
                batch.events.append(NewEvent("result", {"name": event.name}))
            case Resumed():
                self._resume(event)
            case DatasetPacked():
                batch.content = event.content
            case Stopped():
                self.stop_reason = event.reason
            case _:
                assert_never(event)

    def tick(self) -> None:
        """Writes what has gathered when it is time."""
        if time.monotonic() >= self._due:
            self.flush()

    def flush(self) -> None:
        """Writes everything in one transaction; raises LostLeaseError when the attempt is someone else's by now."""
        self._due = time.monotonic() + FLUSH_SECONDS
        batch = self._batch
        if not batch:
            return
        with self.store.begin() as session:
            jobs.hold(session, self.fence, **batch.columns)
            outdated = self._write(session, batch)
        self._batch = Batch()
        for key in outdated:
            self.store.artifacts.delete(key)

    def discard(self) -> None:
        """Drops what has not been written."""
        self._batch = Batch()

    def _write(self, session: Session, batch: Batch) -> list[str]:
        job_id = self.fence.job_id
        metrics.write(session, job_id, batch.points)
        for name, report in batch.reports.items():
            reports.put(session, job_id, self.fence.attempt, name, report.model_dump(mode="json"))
        if batch.content is not None and self.dataset_id is not None:
            datasets.fill(session, self.dataset_id, batch.content)
        outdated = [key for saved, stored in batch.files if (key := self._name(session, saved, stored))]
        if any(saved.role == "last" for saved, _ in batch.files):
            outdated += files.prune(session, job_id)
        events.append(session, job_id, [*batch.events, *_summary(batch)])
        return outdated

    def _take(self, event: FileSaved) -> None:
        """Hands the bytes to the artifact store; the row that names them follows with the batch."""
        if event.role == "dataset":
            key = f"datasets/{self.dataset_id}/attempt-{self.fence.attempt}/{event.name}"
        else:
            key = f"jobs/{self.fence.job_id}/attempt-{self.fence.attempt}/{event.step:08d}-{event.name}"
        self._batch.files.append((event, self.store.artifacts.put(key, event.path)))
        if event.role != "dataset":
            data = {"name": event.name, "role": event.role, "step": event.step, "epoch": event.epoch}
            self._batch.events.append(NewEvent("checkpoint", data))
            self.flush()

    def _name(self, session: Session, saved: FileSaved, stored: StoredFile) -> str | None:
        owner = self.dataset_id if saved.role == "dataset" and self.dataset_id else self.fence.job_id
        return files.put(
            session, owner, saved.name, saved.role, stored, step=saved.step, epoch=saved.epoch, metrics=saved.metrics
        )

    def _resume(self, event: Resumed) -> None:
        self.flush()
        kind = "exact" if event.exact else "approximate"
        with self.store.begin() as session:
            jobs.hold(session, self.fence, resume=kind)
            metrics.truncate_after(session, self.fence.job_id, event.step)
            data = {"step": event.step, "epoch": event.epoch, "resume": kind}
            events.append(session, self.fence.job_id, [NewEvent("resumed", data)])


def _epoch(event: EpochRecord) -> dict[str, Any]:
    return {
        "epoch": event.epoch,
        "step": event.step,
        "train": _plain(event.train),
        "val": _plain(event.val),
        "lr": event.lr,
        "is_best": event.is_best,
    }


def _summary(batch: Batch) -> list[NewEvent]:
    """One `metric` and one `progress` event a batch: the live view needs no more."""
    found = []
    if batch.latest:
        shown = {name: value for name, value in batch.latest.items() if not name.startswith("grad/")}
        found.append(NewEvent("metric", _plain(shown)))
    if "progress" in batch.columns:
        found.append(NewEvent("progress", {"progress": batch.columns["progress"]}))
    return found


def _plain(values: dict[str, float]) -> dict[str, float | None]:
    """JSON has no NaN and no infinity."""
    return {name: value if abs(value) < float("inf") else None for name, value in values.items()}
