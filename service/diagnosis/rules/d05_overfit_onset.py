"""D5: overfitting begins: train still improves, val no longer does."""

from service.diagnosis import thresholds as t
from service.diagnosis.overfitting import CurveComparison, compare_curves
from service.diagnosis.record import RunRecord
from service.diagnosis.remedy import regularised
from service.diagnosis.rule import Rule
from service.diagnosis.statistics import margin
from service.reports.finding import Finding, Remedy, Severity


def judge(record: RunRecord) -> Finding | None:
    """Val loss is past its minimum and rising; or both gaps are open while it stands still, or train loss is 0."""
    curves = compare_curves(record)
    if curves is None or not (curves.is_onset or curves.is_standing or curves.is_memorised):
        return None
    last = record.epochs[-1]
    return Finding(
        rule="D5",
        severity=_severity(record, curves),
        confidence=margin(curves.rise, t.ONSET_RISE * curves.lowest_val) if curves.is_onset else 0.7,
        epoch=last.number,
        step=last.step,
        evidence=curves.evidence(),
        explanation=_words(curves),
        remedy=Remedy(
            text=(
                "Begin to regularise: dropout of 0.2-0.5 (random units are switched off while training), more weight "
                "decay (large weights cost), label smoothing (the right answer counts 90 %), a moving average of the "
                "weights (`ema`), early stopping, augmentation (each image slightly changed every time)."
            ),
            patch=regularised(record),
        ),
    )


def _words(curves: CurveComparison) -> str:
    what = (
        f"since epoch {curves.best_epoch} the training loss goes on falling, but the validation loss does not (lowest "
        f"{curves.lowest_val:.3g}, now {curves.last_val:.3g})"
        if curves.is_onset or curves.is_standing
        else f"the training loss is practically 0 ({curves.train_loss:.2g}), the validation loss {curves.last_val:.3g}"
    )
    return (
        f"Overfitting begins: {what}. The model starts to learn the training samples by heart; its loss on them is "
        f"{curves.loss_gap:.2g} lower than on samples it has not seen (an alert above 0.5), its accuracy "
        f"{100 * curves.accuracy_gap:.0f} points higher (an alert above 10)."
    )


def _severity(record: RunRecord, curves: CurveComparison) -> Severity:
    """A warning when both gaps are open, nothing in the spec takes care of it, and it rises or train loss is 0."""
    if record.spec.early_stopping is not None or not curves.exceeds_indicators:
        return "info"
    return "warning" if curves.is_onset or curves.is_memorised else "info"


RULE = Rule("D5", "overfit_onset", judge, ("validation",))
