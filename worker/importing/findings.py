"""How an import says what it saw in the data: the rules of the profile, and a finding of one of them."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from service.reports.finding import Finding, Remedy, Severity

RULES: Mapping[str, str] = MappingProxyType({
    "P1": "not_normalised", "P2": "odd_range", "P3": "wrong_dtype", "P4": "labels_not_from_zero",
    "P5": "class_missing", "P6": "imbalance", "P7": "exact_duplicates", "P8": "near_duplicates", "P9": "leakage",
    "P10": "contradicting_labels", "P11": "few_samples", "P12": "sorted_labels", "P13": "constant_features",
    "P14": "non_finite", "P15": "duplicate_features", "P16": "target_leak", "P17": "corrupt_files",
    "P18": "blank_pictures", "P19": "odd_aspect", "P20": "transparent", "P21": "deep", "P22": "turned",
    "P23": "animated", "P24": "misnamed", "P25": "text_left_out", "P26": "encoded", "P27": "odd_cells",
    "P28": "label_spellings", "P29": "table_form", "P30": "regression", "P31": "layout",
    "P32": "split_empty", "P33": "grey_levels",
})  # fmt: skip
SHOWN = 20
Evidence = float | str | list[float] | list[str] | None


def finding(rule: str, severity: Severity, explanation: str, remedy: str, **evidence: Evidence) -> Finding:
    """One finding about the data; what is counted is certain."""
    return Finding(
        rule=rule, name=RULES[rule], severity=severity, confidence=1.0, evidence=evidence, explanation=explanation,
        remedy=Remedy(text=remedy),
    )  # fmt: skip


def note(rule: str, samples: Sequence[str], explanation: str) -> Finding | None:
    """What was put right on the way, for some of the samples; None when there are none."""
    if not samples:
        return None
    text = f"{len(samples):,} {explanation}"
    return finding(rule, "info", text, "Nothing, unless that is not what you want.", **first_of(samples))


def first_of(names: Sequence[str]) -> dict[str, Evidence]:
    """How many, and the first of them."""
    return {"count": len(names), "examples": list(names[:SHOWN])}
