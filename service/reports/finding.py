"""One diagnosis: what is wrong, on what evidence, and what to do about it."""

from datetime import datetime
from typing import Any, Literal, get_args

from service.reports.part import ReportPart

Severity = Literal["info", "warning", "critical"]
SEVERITIES: tuple[Severity, ...] = get_args(Severity)
Evidence = dict[str, float | str | list[float] | list[str] | None]


class Remedy(ReportPart):
    """What to do next."""

    text: str
    patch: dict[str, Any] = {}
    """Dotted path into the spec -> new value; empty when no change of the spec can help."""


class Finding(ReportPart):
    """One rule's verdict on one job or dataset."""

    rule: str
    """Stable id, e.g. `D6`."""
    name: str = ""
    """The rule's name in words, e.g. `overfit_confirmed`."""
    severity: Severity
    confidence: float
    """0 to 1."""
    epoch: int | None = None
    step: int | None = None
    evidence: Evidence
    """The numbers the finding was drawn from, by name with units in the name."""
    explanation: str
    """For a beginner: what it is, why it matters."""
    remedy: Remedy


class StoredFinding(Finding):
    """A finding of a job with its id, its history and what became of its remedy."""

    id: str
    active: bool = True
    """False once the finding no longer held."""
    history: list[dict[str, Any]] = []
    """When it was `found`, got `worse`, was `withdrawn` or `returned`."""
    outcome: dict[str, Any] | None = None
    """Of the follow-up job that `apply` made: `job`, `state`, `text`; once it has ended, did it help, with numbers."""
    updated_at: datetime | None = None


class FindingsReport(ReportPart):
    """The diagnosis of one job."""

    verdict: Literal["healthy", "findings", "not enough evidence"]
    missing: list[str] = []
    """What was not recorded, or not yet, when the evidence does not suffice."""
    data: list[StoredFinding]
