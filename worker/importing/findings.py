"""How an import says what it saw in the data: findings of the profile (rules P1, P2, ...)."""

from collections.abc import Sequence

from service.reports.finding import Finding, Remedy, Severity

SHOWN = 20
Evidence = float | str | list[float] | list[str] | None


def finding(rule: str, name: str, severity: Severity, explanation: str, remedy: str, **evidence: Evidence) -> Finding:
    """One finding about the data; what is counted is certain."""
    return Finding(
        rule=rule, name=name, severity=severity, confidence=1.0, evidence=evidence, explanation=explanation,
        remedy=Remedy(text=remedy),
    )  # fmt: skip


def note(rule: str, name: str, items: Sequence[str], explanation: str) -> Finding | None:
    """What was put right on the way, for some of the samples; None when there are none."""
    if not items:
        return None
    text = f"{len(items):,} {explanation}"
    return finding(rule, name, "info", text, "Nothing, unless that is not what you want.", **some(items))


def some(items: Sequence[str]) -> dict[str, Evidence]:
    """How many, and the first of them."""
    return {"count": len(items), "examples": list(items[:SHOWN])}
