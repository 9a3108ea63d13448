"""D5: overfitting begins: train still improves, val no longer does."""

from service.diagnosis import thresholds as t
from service.diagnosis.overfitting import Divergence, divergence
from service.diagnosis.record import RunRecord
from service.diagnosis.remedy import regularised
from service.diagnosis.rule import Rule
from service.diagnosis.statistics import margin
from service.reports.finding import Finding, Remedy, Severity


def judge(record: RunRecord) -> Finding | None:
    """Val loss is past its minimum and rising; or both gaps are open while it stands still, or train loss is 0."""
    seen = divergence(record)
    if seen is None or not (_rising(seen) or seen.standing or seen.memorised):
        return None
    last = record.epochs[-1]
    return Finding(
        rule="D5",
        severity=_severity(record, seen),
        confidence=margin(seen.rise, t.ONSET_RISE * seen.lowest_val) if _rising(seen) else 0.7,
        epoch=last.number,
        step=last.step,
        evidence=seen.evidence(),
        explanation=_words(seen),
        remedy=Remedy(
            text=(
                "Begin to regularise: dropout of 0.2-0.5 (random units are switched off while training), more weight "
                "decay (large weights cost), label smoothing (the right answer counts 90 %), a moving average of the "
                "weights (`ema`), early stopping, augmentation (each image slightly changed every time)."
            ),
            patch=regularised(record),
        ),
    )


def _words(seen: Divergence) -> str:
    what = (
        f"since epoch {seen.best_epoch} the training loss goes on falling, but the validation loss does not (lowest "
        f"{seen.lowest_val:.3g}, now {seen.last_val:.3g})"
        if _rising(seen) or seen.standing
        else f"the training loss is practically 0 ({seen.train_loss:.2g}), the validation loss {seen.last_val:.3g}"
    )
    return (
        f"Overfitting begins: {what}. The model starts to learn the training samples by heart; its loss on them is "
        f"{seen.loss_gap:.2g} lower than on samples it has not seen (an alert above 0.5), its accuracy "
        f"{100 * seen.accuracy_gap:.0f} points higher (an alert above 10)."
    )


def _rising(seen: Divergence) -> bool:
    return (
        seen.epochs_past >= t.ONSET_EPOCHS
        and seen.rise > max(t.ONSET_RISE * seen.lowest_val, t.ONSET_NATS, t.CONFIRMED_MADS * seen.noise)
        and seen.clean_fall > t.CLEAN_FALL
        and seen.loss_gap > t.CONFIRMED_GAP
    )


def _severity(record: RunRecord, seen: Divergence) -> Severity:
    """A warning when both gaps are open, nothing in the spec takes care of it, and it rises or train loss is 0."""
    if record.spec.early_stopping is not None or not seen.exceeds_indicators:
        return "info"
    return "warning" if _rising(seen) or seen.memorised else "info"


RULE = Rule("D5", "overfit_onset", judge, ("validation",))
