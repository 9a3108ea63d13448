"""The verdict on a run: every rule is asked, a finding that another explains is left out, what is missing is named."""

import json
from dataclasses import dataclass
from typing import Literal

from service.diagnosis.record import Need, RunRecord
from service.diagnosis.registry import RULES
from service.diagnosis.rule import Rule
from service.reports.finding import SEVERITIES, Finding, Remedy

Verdict = Literal["healthy", "findings", "not enough evidence"]
ESSENTIAL: frozenset[Need] = frozenset({"epochs", "validation", "probes", "steps"})
"""Without these a run cannot be called healthy."""
HOPELESS = ("D1", "D10")
"""Rules whose findings make going on pointless: a loss that is not finite, and a network that collapsed."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What the rules say about one record."""

    verdict: Verdict
    findings: tuple[Finding, ...]
    missing: tuple[str, ...]
    """What was not recorded, or not yet, in plain words."""


def diagnose(record: RunRecord, rules: tuple[Rule, ...] = RULES) -> Diagnosis:
    """Judges a record. Only warnings and worse make a run unhealthy; an `info` is a remark."""
    missing = record.missing()
    asked = [rule for rule in rules if missing.keys().isdisjoint(rule.needs)]
    holding = [(rule, finding) for rule in asked if (finding := rule.judge(record)) is not None]
    explained = {outranked for rule, _ in holding for outranked in rule.outranks}
    findings = tuple(
        finding.model_copy(update={"name": rule.name, "remedy": offered(finding.remedy)})
        for rule, finding in holding
        if rule.id not in explained
    )
    if any(finding.severity != "info" for finding in findings):
        verdict: Verdict = "findings"
    else:
        verdict = "not enough evidence" if ESSENTIAL & missing.keys() else "healthy"
    needed = {need for rule in rules for need in rule.needs}
    return Diagnosis(verdict, findings, tuple(words for need, words in missing.items() if need in needed))


def offered(remedy: Remedy) -> Remedy:
    """The remedy with its patch in words."""
    if not remedy.patch:
        return remedy
    changes = ", ".join(f"`{path}` = {json.dumps(value)}" for path, value in remedy.patch.items())
    return remedy.model_copy(update={"text": f"{remedy.text} `apply` submits the next job with {changes}."})


def hopeless(record: RunRecord) -> Finding | None:
    """The finding that makes going on with this run pointless, if there is one."""
    findings = diagnose(record, tuple(rule for rule in RULES if rule.id in HOPELESS)).findings
    return findings[0] if findings else None


def is_worse(new: Finding, old: Finding) -> bool:
    """Whether a finding that was already told deserves to be told again."""
    ranks = SEVERITIES.index(new.severity), SEVERITIES.index(old.severity)
    return ranks[0] > ranks[1] or (ranks[0] == ranks[1] and new.confidence >= old.confidence + 0.1)
