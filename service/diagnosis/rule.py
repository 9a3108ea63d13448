"""What a rule is: an id, a name, what it reads, and a pure function from a run record to a finding."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from service.diagnosis.record import RunRecord
from service.reports.finding import Finding

Need = Literal["epochs", "validation", "probes", "steps", "gradients", "checkup", "profile"]


@dataclass(frozen=True, slots=True)
class Rule:
    """One entry of `RULES`."""

    id: str
    name: str
    judge: Callable[[RunRecord], Finding | None]
    needs: tuple[Need, ...] = ()
    """What must have been recorded for the rule to see anything."""
    outranks: tuple[str, ...] = ()
    """Ids of rules whose findings this one explains: they are left out when this one holds."""
