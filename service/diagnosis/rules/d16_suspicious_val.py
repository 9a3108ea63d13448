"""D16: results too good to be true: leakage between the splits, or labels hidden in the inputs (common error 11)."""

import math

from service.diagnosis import thresholds as t
from service.diagnosis.record import RunRecord
from service.diagnosis.rule import Rule
from service.diagnosis.statistics import over_chance
from service.reports.finding import Evidence, Finding, Remedy, Severity

REMEDY = Remedy(
    text=(
        "Look at the dataset's profile for duplicates across splits and import it again with `drop_duplicates` (the "
        "service keeps near duplicates in one split); check that no feature or file name carries the label."
    )
)


def judge(record: RunRecord) -> Finding | None:
    """Shared samples in the profile, a train loss of 0 by epoch 2, or val clearly better than the clean train probe."""
    return _leaked(record) or _zero_loss(record) or _better_than_train(record)


def _leaked(record: RunRecord) -> Finding | None:
    if record.profile is None:
        return None
    shared = record.profile.duplicates.get("cross_split", 0)
    held_out = (record.samples("val") or 0) + (record.samples("test") or 0)
    if not held_out or shared <= t.LEAKED_SHARE * held_out:
        return None
    return _finding(
        record,
        "warning",
        0.95,
        {"duplicates_across_splits": shared, "val_and_test_samples": held_out},
        f"{shared} samples are in the training data and also in val or test ({held_out} samples). The model has seen "
        "the answers, so its val and test accuracy are better than they will be on new data.",
    )


def _zero_loss(record: RunRecord) -> Finding | None:
    early = [epoch.train.get("loss", 1.0) for epoch in record.epochs if epoch.number <= t.ZERO_EPOCH]
    if not early or min(early) > t.ZERO_LOSS or _starts_trained(record):
        return None
    return _finding(
        record,
        "warning",
        0.8,
        {"train_loss": min(early), "epoch": float(len(early))},
        f"The training loss is practically 0 ({min(early):.1g}) after {len(early)} epoch(s). Real data are not "
        "learned that fast: the label is probably hidden in the inputs, and the model only reads it off.",
    )


def _starts_trained(record: RunRecord) -> bool:
    return getattr(record.spec.model, "weights", None) is not None


def _better_than_train(record: RunRecord) -> Finding | None:
    val, clean = record.curve("val", "accuracy")[-3:], record.clean_accuracy()[-3:]
    if len(val) < 3 or len(clean) < 3 or over_chance(clean[-1], record.classes) < t.LEARNED_OVER_CHANCE:
        return None
    advantage = min(v - c for v, c in zip(val, clean, strict=True))
    noise = t.VAL_ADVANTAGE_ERRORS * math.hypot(record.accuracy_error(val[-1]), _probe_error(clean[-1]))
    if advantage <= max(t.VAL_ADVANTAGE, noise):
        return None
    return _finding(
        record,
        "warning",
        0.7,
        {"val_accuracy_percent": 100 * val[-1], "train_accuracy_percent": 100 * clean[-1], "noise_points": 100 * noise},
        f"The model is better on validation ({100 * val[-1]:.0f} %) than on the samples it was trained on "
        f"({100 * clean[-1]:.0f} %), by more than chance explains. Either the val split is easier or other data, or it "
        "shares samples with the training data.",
    )


def _probe_error(accuracy: float) -> float:
    """Standard error of an accuracy on the clean probe."""
    return math.sqrt(max(accuracy * (1 - accuracy), 0.25 / t.PROBE_SAMPLES) / t.PROBE_SAMPLES)


def _finding(record: RunRecord, severity: Severity, confidence: float, evidence: Evidence, explanation: str) -> Finding:
    last = record.epochs[-1] if record.epochs else None
    return Finding(
        rule="D16",
        severity=severity,
        confidence=confidence,
        epoch=last.number if last else None,
        step=last.step if last else None,
        evidence=evidence,
        explanation=explanation,
        remedy=REMEDY,
    )


RULE = Rule("D16", "suspicious_val", judge)
