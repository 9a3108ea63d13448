"""What operators and waiting people want to know: workers, the queue, readiness, API keys."""

from datetime import datetime
from typing import Literal

from service.reports.part import ReportPart
from service.specs.requests import KeyScope


class DeviceReport(ReportPart):
    """One device that a worker computes on."""

    type: Literal["cpu", "cuda"]
    index: int
    """Which of its type."""
    name: str
    memory_bytes: int | None
    """Of its own; null for the processor, which has the machine's."""
    threads: int | None
    """That a job's process computes with."""


class WorkerReport(ReportPart):
    """One worker process, as of its last heartbeat."""

    id: str
    name: str
    state: Literal["alive", "draining", "lost"]
    device: str
    """Names of its devices, to read."""
    devices: list[DeviceReport]
    slots: int
    jobs: list[str]
    """Ids of what it runs."""
    started_at: datetime
    seen_at: datetime
    version: str | None
    """Of its program."""
    skewed: bool
    """Whether that is another version than the API's."""


class WaitingJob(ReportPart):
    """One job that waits, and why."""

    job: str
    name: str | None
    kind: str
    position: int
    reason: str


class StorageReport(ReportPart):
    """What the service keeps on its disks."""

    bytes_by_kind: dict[str, int]
    """Files by role (`last`, `best`, `model`, `dataset`, `other`), `records` (the database without files), and `free`
    (space in SQLite's file that is used next or given back). No byte counts twice.
    """
    disk_free: int
    """Bytes that are free under `HOME`."""


class HealthReport(ReportPart):
    """The process answers."""

    status: Literal["ok"] = "ok"
    version: str


class ReadinessReport(ReportPart):
    """Whether the service can take jobs; each check in words."""

    status: Literal["ready", "degraded"]
    """`degraded`: jobs are accepted and wait until the broker is back."""
    checks: dict[str, str]


class KeyReport(ReportPart):
    """A key without its secret."""

    id: str
    name: str
    scope: KeyScope
    created_at: datetime
    revoked_at: datetime | None


class SessionReport(ReportPart):
    """Who calls, and for how long a browser's session lasts."""

    owner: str | None
    """Name of the key; null where no keys are asked for."""
    scope: KeyScope
    expires_at: datetime | None
    """Null for a caller without a session."""


class NewKeyReport(KeyReport):
    """A key that was just made; `key` is shown this once."""

    key: str
