"""A job as clients see it, its curves and its series."""

from datetime import datetime
from typing import Any

from service.errors import Problem
from service.reports.part import ReportPart
from service.reports.resolution import Advice
from service.specs.training import LimitsSpec
from service.states import JobState, Relation, StopReason


class QueuePlace(ReportPart):
    """Where a waiting job stands."""

    position: int
    """1 is next."""
    reason: str
    """What it waits for, in plain words."""


class FilesDeleted(ReportPart):
    """When, by whom and why the files of a job were deleted."""

    time: datetime
    actor: str
    """Name of the key that asked for it; `retention` where `KEEP_DAYS` or `KEEP_BYTES` did."""
    reason: str
    bytes: int


class JobReport(ReportPart):
    """One job."""

    id: str
    kind: str
    name: str | None
    labels: dict[str, str]
    priority: int
    state: JobState
    phase: str | None
    progress: float
    dataset: str | None
    """Id of the dataset."""
    parent: str | None
    """Id of the job that this one belongs to or was made from."""
    relation: Relation | None
    """What it is to its parent."""
    owner: str | None
    """Name of the key that it belongs to, as its parent does; null where no keys were asked for: the admin's."""
    attempt: int
    resume: str | None
    """`exact` or `approximate` once a checkpoint exists: what a resumed run equals."""
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    stop_reason: StopReason | None
    """Why it ended or was paused; `limit`: it has run for as long as `limits.seconds` allows."""
    running_seconds: float
    """Of all its attempts."""
    limits: LimitsSpec
    """Those that hold now: the spec's, or what the last resume set in their place."""
    error: Problem | None
    queue: QueuePlace | None
    bytes: int
    """Of its files."""
    bytes_by_role: dict[str, int]
    """The same by what the files are (`last`, `best`, `model`, ...)."""
    files_deleted: FilesDeleted | None
    """Null unless its files were deleted and its record was kept."""
    spec: dict[str, Any]
    result: dict[str, Any] | None
    """The report named `result`: shape by kind."""


class SubmittedJob(JobReport):
    """The job as it was stored, and what was unusual about its spec."""

    warnings: list[Advice] = []


class EventReport(ReportPart):
    """One numbered fact about a job."""

    seq: int
    time: datetime
    type: str
    data: dict[str, Any]


class Point(ReportPart):
    """One point of a series; a value that is not finite is null and `flag` says which (`nan`, `inf`, `-inf`)."""

    step: int
    epoch: int
    value: float | None
    time: datetime
    flag: str | None = None


class Series(ReportPart):
    """One named series."""

    name: str
    points: list[Point]


class MetricsReport(ReportPart):
    """Series of a job, downsampled when asked."""

    series: list[Series]


class CurveEpoch(ReportPart):
    """One epoch's numbers."""

    epoch: int
    train: dict[str, float | None]
    val: dict[str, float | None]
    lr: float | None


class CurvesReport(ReportPart):
    """Loss and accuracy per epoch."""

    epochs: list[CurveEpoch]
    best_epoch: int | None


class CheckpointReport(ReportPart):
    """A file that a job left."""

    name: str
    role: str
    size: int
    sha256: str
    step: int
    epoch: int
    metrics: dict[str, float]
    created_at: datetime
