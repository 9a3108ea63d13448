"""The verdict on a run: every rule asked, findings that others explain left out, and what was missing."""

import json
from dataclasses import dataclass
from typing import Literal

from service.diagnosis import thresholds
from service.diagnosis.record import RunRecord
from service.diagnosis.registry import RULES
from service.diagnosis.rule import Need, Rule
from service.reports.finding import Finding, Remedy

Verdict = Literal["healthy", "findings", "not enough evidence"]
SEVERITIES: tuple[str, ...] = ("info", "warning", "critical")
ESSENTIAL: frozenset[Need] = frozenset({"epochs", "validation", "probes", "steps"})


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What the rules say about one record."""

    verdict: Verdict
    findings: tuple[Finding, ...]
    missing: tuple[str, ...]
    """What was not recorded, or not yet, in plain words."""


def diagnose(record: RunRecord, rules: tuple[Rule, ...] = RULES) -> Diagnosis:
    """Judges a record. Only warnings and worse make a run unhealthy; an `info` is a remark."""
    found = {rule.id: finding for rule in rules if (finding := rule.judge(record)) is not None}
    explained = {each for rule in rules if rule.id in found for each in rule.outranks}
    findings = tuple(
        found[rule.id].model_copy(update={"name": rule.name, "remedy": offered(found[rule.id].remedy)})
        for rule in rules
        if rule.id in found and rule.id not in explained
    )
    missing = {
        need: words
        for need in ("epochs", "validation", "probes", "steps", "gradients", "checkup", "profile")
        if (words := _missing(record, need)) is not None
    }
    if any(finding.severity != "info" for finding in findings):
        verdict: Verdict = "findings"
    else:
        verdict = "not enough evidence" if ESSENTIAL & missing.keys() else "healthy"
    return Diagnosis(verdict, findings, tuple(missing.values()))


def offered(remedy: Remedy) -> Remedy:
    """The remedy with its patch in words."""
    if not remedy.patch:
        return remedy
    changes = ", ".join(f"`{path}` = {json.dumps(value)}" for path, value in remedy.patch.items())
    return remedy.model_copy(update={"text": f"{remedy.text} `apply` submits the next job with {changes}."})


def hopeless(record: RunRecord) -> Finding | None:
    """The finding that makes going on pointless: D1, or D8 together with D10 (which holds only where D8 does)."""
    fatal = tuple(rule for rule in RULES if rule.id in ("D1", "D10"))
    findings = diagnose(record, fatal).findings
    return findings[0] if findings else None


def is_worse(new: Finding, old: Finding) -> bool:
    """Whether a finding that was already told deserves to be told again."""
    ranks = SEVERITIES.index(new.severity), SEVERITIES.index(old.severity)
    return ranks[0] > ranks[1] or (ranks[0] == ranks[1] and new.confidence >= old.confidence + 0.1)


def _missing(record: RunRecord, need: str) -> str | None:
    match need:
        case "epochs":
            count = len(record.epochs)
            wanted = thresholds.FLAT_MIN_EPOCHS
            return f"at least {wanted} epochs ({count} so far)" if count < wanted else None
        case "validation":
            return (
                None
                if record.curve("val", "loss")
                else "validation losses (the dataset has no val split, or no epoch ended)"
            )
        case "probes":
            absent = not record.curve("probes", "clean_loss")
            return (
                f"clean probes{'' if record.spec.diagnose else ' (`diagnose` is off in the spec)'}" if absent else None
            )
        case "steps":
            return None if len(record.points("train/loss")) else "losses of single steps"
        case "gradients":
            absent = not record.weight_gradients()
            return (
                f"gradient norms{'' if record.spec.gradients else ' (`gradients` is off in the spec)'}"
                if absent
                else None
            )
        case "checkup":
            return None if record.checkup else "the check-up before the first step"
        case _:
            return None if record.profile else "the dataset's profile"
