"""What a rule is: an id, a name, what it needs, and a pure function from the record of a run to a finding."""

from collections.abc import Callable
from dataclasses import dataclass

from service.diagnosis.record import Need, RunRecord
from service.reports.finding import Finding


@dataclass(frozen=True, slots=True)
class Rule:
    """One entry of `RULES`."""

    id: str
    name: str
    judge: Callable[[RunRecord], Finding | None]
    needs: tuple[Need, ...] = ()
    """Parts of the record without which the rule sees nothing; until they are recorded it is not asked."""
    outranks: tuple[str, ...] = ()
    """Ids of rules whose findings this one explains: they are left out when this one holds."""
