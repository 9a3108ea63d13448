"""The names under which a job's reports are stored; the engine produces each of them."""

from enum import StrEnum
from typing import NewType

PartName = NewType("PartName", str)
"""The name of one of several reports of a kind, as `ReportName.of` makes it."""


class ReportName(StrEnum):
    """What a job reports."""

    ENVIRONMENT = "environment"
    """Versions and machine of the last attempt."""
    CHECKUP = "checkup"
    RESULT = "result"
    """What a job of its kind concludes."""
    REPORT = "report"
    """Classification report of a split: `report:test`."""
    CONFUSION = "confusion"
    """Confusion matrix of a split: `confusion:test`."""
    TRIAL = "trial"
    """One trial of a search: `trial:3`."""
    IMPORTANCES = "importances"
    """Of a search that still runs."""
    BEST = "best"
    """The result of a search's best trial."""

    def of(self, part: str | int) -> PartName:
        """The name of one split's or trial's report."""
        return PartName(f"{self}:{part}")
