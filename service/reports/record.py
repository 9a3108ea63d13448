"""A run as a whole: what is needed to reproduce it, and several of them side by side."""

from datetime import datetime
from typing import Any

from service.reports.environment import MachineReport
from service.reports.job import CheckpointReport, CurvesReport, FilesDeleted, JobReport
from service.reports.part import ReportPart


class Bundle(ReportPart):
    """Enough to run a job again and to compare what comes out."""

    job: str
    kind: str
    created_at: datetime
    spec: dict[str, Any]
    """Resolved: every default filled in, and values of other jobs in the place of `from_job`."""
    dataset: dict[str, Any]
    """Id, name, hash over content and split, source."""
    seeds: dict[str, int]
    versions: dict[str, str]
    """Of what the last attempt ran on; of the service alone where no attempt has begun."""
    machine: MachineReport | None
    """Of the last attempt; null where none has begun."""
    reports: dict[str, Any]
    """Every stored report by name."""
    curves: CurvesReport
    files: list[CheckpointReport]
    files_deleted: FilesDeleted | None
    """Why `files` is empty, where they were deleted."""


class ComparedJob(ReportPart):
    """One column of a comparison."""

    job: JobReport
    curves: CurvesReport
    findings: int


class Comparison(ReportPart):
    """Runs side by side."""

    data: list[ComparedJob]
    differences: dict[str, list[Any]]
    """Dotted path of each value of the specs that differs -> the values, in the order of `data`."""
