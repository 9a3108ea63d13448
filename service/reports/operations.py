"""What operators and waiting people want to know: workers, the queue, readiness, API keys, what can be used."""

from datetime import datetime
from typing import Literal

from service.reports.part import ReportPart
from service.specs.requests import KeyScope


class WorkerReport(ReportPart):
    """One worker process, as of its last heartbeat."""

    id: str
    name: str
    state: Literal["alive", "draining", "lost"]
    device: str
    slots: int
    jobs: list[str]
    """Ids of what it runs."""
    started_at: datetime
    seen_at: datetime


class WaitingJob(ReportPart):
    """One job that waits, and why."""

    job: str
    name: str | None
    kind: str
    position: int
    reason: str


class HealthReport(ReportPart):
    """The process answers."""

    status: Literal["ok"] = "ok"
    version: str


class ReadinessReport(ReportPart):
    """Whether the service can take jobs; each check in words."""

    status: Literal["ready", "degraded"]
    """`degraded`: jobs are accepted and wait until the broker is back."""
    checks: dict[str, str]


class ArchitectureReport(ReportPart):
    """One architecture of torchvision."""

    name: str
    parameters: int
    """With ImageNet's 1,000-class head."""
    top1: float
    """ImageNet top-1 accuracy, percent."""
    usage: str
    features: int
    """Inputs of the new head."""
    min_size: int
    """Least height and width of an image, pixels."""
    size: int
    """Height and width that the weights were trained for."""
    gmacs: float
    """Multiply-accumulates of one image at `size`, in 10^9."""
    weights: dict[str, float]
    """Official weights -> their top-1."""


class ModeAdviceReport(ReportPart):
    """Which transfer mode suits how many training samples."""

    min_samples: int
    max_samples: int | None
    mode: str
    why: str


class ArchitecturesReport(ReportPart):
    """Every architecture, the chapter's table first, and how to choose the transfer mode."""

    data: list[ArchitectureReport]
    modes: list[ModeAdviceReport]
    next_cursor: str | None = None


class KnownDatasetReport(ReportPart):
    """A dataset that can be imported by name."""

    name: str
    kind: Literal["builtin", "torchvision"]
    classes: int
    samples: int
    size: str
    about: str
    variants: list[str] = []
    """Editions to choose from; the first is the default."""


class AugmentationReport(ReportPart):
    """A preset and its operations."""

    name: str
    operations: list[dict[str, object]]


class KeyReport(ReportPart):
    """A key without its secret."""

    id: str
    name: str
    scope: KeyScope
    created_at: datetime
    revoked_at: datetime | None


class NewKeyReport(KeyReport):
    """A key that was just made; `key` is shown this once."""

    key: str
