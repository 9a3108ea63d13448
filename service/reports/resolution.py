"""What is known of a job before it runs: the resolved spec, advice, and what it will cost."""

from typing import Any

from service.reports.part import ReportPart
from service.reports.result import Parameters


class Advice(ReportPart):
    """Something unusual in a spec; it runs all the same."""

    code: str
    """Stable name of the rule, e.g. `weight-decay-unusual`."""
    pointer: str
    """JSON pointer into the spec."""
    detail: str
    """What is unusual, why it matters, and what is usual."""


class Estimates(ReportPart):
    """Rough costs: right within a factor of about two for memory and disk, about four for time."""

    parameters: Parameters
    steps: int
    """Optimizer steps at most (early stopping may end sooner)."""
    memory_bytes: int
    disk_bytes: int
    cpu_seconds: float
    """On two CPU cores."""
    gpu_seconds: float
    """On one current GPU."""
    basis: str
    """What the numbers were drawn from."""


class DryRunReport(ReportPart):
    """What `POST /v1/jobs?dry_run=true` answers."""

    spec: dict[str, Any]
    """Every default filled in, as it would be stored."""
    warnings: list[Advice]
    estimates: Estimates | None
    """Null while the dataset is not imported yet."""
