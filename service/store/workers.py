"""Worker processes: where each runs, with which devices, and when it last gave a sign of life."""

from collections.abc import Iterable
from datetime import timedelta
from importlib.metadata import version
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from service.errors import NotFoundError
from service.states import OWNED
from service.store.session import now
from service.store.tables import JobRow, WorkerRow

KEPT = timedelta(days=1)
PROGRAM = version("trainwright")
"""The version of this program."""


def register(
    session: Session, worker_id: str, *, host: str, pid: int, slots: int, devices: list[dict[str, Any]]
) -> None:
    """Adds a worker that starts."""
    time = now(session)
    session.add(
        WorkerRow(
            id=worker_id,
            host=host,
            pid=pid,
            slots=slots,
            devices=devices,
            started_at=time,
            heartbeat_at=time,
            version=PROGRAM,
        )
    )


def heartbeat(session: Session, worker_id: str) -> bool:
    """Notes a sign of life; returns whether the worker shall drain (an unknown one shall)."""
    row = session.get(WorkerRow, worker_id)
    if row is None:
        return True
    row.heartbeat_at = now(session)
    return row.draining


def remove(session: Session, worker_id: str) -> None:
    """Removes a worker that ends."""
    row = session.get(WorkerRow, worker_id)
    if row is not None:
        session.delete(row)


def drain(session: Session, worker_id: str) -> WorkerRow:
    """Asks a worker to hand its jobs back and end; NotFoundError when there is none."""
    row = session.get(WorkerRow, worker_id)
    if row is None:
        raise NotFoundError(f"no worker has the id `{worker_id}`")
    row.draining = True
    session.flush()
    return row


def listed(session: Session) -> list[WorkerRow]:
    """Every worker that has reported, the oldest first."""
    return list(session.execute(select(WorkerRow).order_by(WorkerRow.started_at)).scalars())


def has_gpu(devices: Iterable[dict[str, Any]]) -> bool:
    """Whether one of these devices is a GPU."""
    return any(device.get("device", "").startswith("cuda") for device in devices)


def alive(session: Session, within_seconds: float) -> list[WorkerRow]:
    """Workers that gave a sign of life lately, the oldest first."""
    since = now(session) - timedelta(seconds=within_seconds)
    return list(
        session.execute(
            select(WorkerRow).where(WorkerRow.heartbeat_at >= since).order_by(WorkerRow.started_at)
        ).scalars()
    )


def is_skewed(row: WorkerRow) -> bool:
    """Whether the worker is another version's program than this one."""
    return row.version != PROGRAM


def delete_lost(session: Session) -> None:
    """Deletes workers that gave no sign of life for a day."""
    session.execute(delete(WorkerRow).where(WorkerRow.heartbeat_at < now(session) - KEPT))


def jobs_of(session: Session, worker_id: str) -> list[str]:
    """Ids of the jobs a worker has claimed."""
    owned = JobRow.state.in_([str(state) for state in OWNED])
    return list(session.execute(select(JobRow.id).where(JobRow.worker_id == worker_id, owned)).scalars())
