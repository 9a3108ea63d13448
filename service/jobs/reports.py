"""Rows of jobs, and of what belongs to them, as the reports that clients, planners and commands see."""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy.orm import Session

from service.jobs import queue
from service.reports.job import CheckpointReport, EventReport, FilesDeleted, JobReport
from service.reports.operations import DeviceReport, WorkerReport
from service.store import attempts, events, files, jobs, reports, workers
from service.store.session import now
from service.store.tables import EventRow, FileRow, JobRow, WorkerRow

# Lists of numbers that a result holds, one a step or trial: shown for one job, not in lists of jobs.
LONG_FIELDS: frozenset[str] = frozenset({"points", "loss_per_step", "accuracy_per_step", "data", "table", "attempts"})

COLUMNS = JobReport.model_fields.keys() & JobRow.__table__.columns.keys()
"""What a job's report and its row call by the same name."""


def job_report(session: Session, job_id: str) -> JobReport:
    """One job with its whole result; NotFoundError when there is none."""
    row = jobs.get(session, job_id)
    return _jobs(session, [row], _results(session, [row]))[0]


def job_reports(session: Session, rows: Sequence[JobRow]) -> list[JobReport]:
    """A list of jobs, with results shortened; a constant number of queries however many there are."""
    results = {
        job_id: {name: value for name, value in result.items() if name not in LONG_FIELDS}
        for job_id, result in _results(session, rows).items()
    }
    return _jobs(session, rows, results)


def event_report(row: EventRow) -> EventReport:
    """One event."""
    data = row.data if row.level is None else {"level": row.level, **row.data}
    return EventReport(seq=row.seq, time=row.time, type=row.type, data=data)


def checkpoint_report(row: FileRow) -> CheckpointReport:
    """One file of a job."""
    return CheckpointReport.model_validate(row, from_attributes=True)


def worker_report(session: Session, row: WorkerRow, lease_seconds: float) -> WorkerReport:
    """One worker; it is lost when it has been silent for longer than a lease."""
    silent_seconds = (now(session) - row.heartbeat_at).total_seconds()
    devices = [_device_report(device) for device in row.devices]
    return WorkerReport(
        id=row.id,
        name=f"{row.host}:{row.pid}",
        state="lost" if silent_seconds > lease_seconds else "draining" if row.draining else "alive",
        device=", ".join(device.name for device in devices) or "cpu",
        devices=devices,
        slots=row.slots,
        jobs=workers.jobs_of(session, row.id),
        started_at=row.started_at,
        seen_at=row.heartbeat_at,
        version=row.version,
        skewed=workers.is_skewed(row),
    )


def _device_report(device: dict[str, Any]) -> DeviceReport:
    """A device as its worker registered it: `cpu`, or `cuda:<index>`."""
    address = str(device.get("device", "cpu"))
    kind, _, index = address.partition(":")
    return DeviceReport(
        type="cuda" if kind == "cuda" else "cpu",
        index=int(index or 0),
        name=str(device.get("name") or address),
        memory_bytes=device.get("memory_bytes"),
        threads=device.get("threads"),
    )


def files_deleted(session: Session, job_ids: Iterable[str]) -> dict[str, FilesDeleted]:
    """Each of these jobs whose files were deleted -> when, by whom and why."""
    rows = events.last_of_type(session, job_ids, files.DELETED)
    return {job_id: FilesDeleted(time=row.time, **row.data) for job_id, row in rows.items()}


def _jobs(session: Session, rows: Sequence[JobRow], results: dict[str, dict[str, Any]]) -> list[JobReport]:
    started = [row.id for row in rows if row.started_at is not None]
    ended = [row.id for row in rows if row.finished_at is not None]
    sizes = files.sizes(session, started) if started else {}
    deletions = files_deleted(session, ended) if ended else {}
    places = queue.places(session, rows)
    return [
        JobReport.model_validate(
            {name: getattr(row, name) for name in COLUMNS}
            | {
                "dataset": row.dataset_id,
                "parent": row.parent_id,
                "queue": places.get(row.id),
                "result": results.get(row.id),
                "limits": attempts.limits_of(row.spec, row.limits),
                "bytes": sum(sizes.get(row.id, {}).values()),
                "bytes_by_role": sizes.get(row.id, {}),
                "files_deleted": deletions.get(row.id),
            }
        )
        for row in rows
    ]


def _results(session: Session, rows: Sequence[JobRow]) -> dict[str, dict[str, Any]]:
    return reports.results_of(session, [row.id for row in rows if row.started_at is not None])
