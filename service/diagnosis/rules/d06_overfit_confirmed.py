"""D6: overfitting: val loss rises while train loss falls, and the gap between them is large."""

from service.diagnosis import thresholds as t
from service.diagnosis.overfitting import compare_curves
from service.diagnosis.record import RunRecord
from service.diagnosis.remedy import regularised
from service.diagnosis.rule import Rule
from service.diagnosis.statistics import margin
from service.reports.finding import Finding, Remedy


def judge(record: RunRecord) -> Finding | None:
    """The rise is confirmed, and it costs accuracy or both gaps are open; where only the loss suffers, D7 speaks."""
    curves = compare_curves(record)
    if curves is None or not curves.is_confirmed or not (curves.costs_accuracy or curves.exceeds_indicators):
        return None
    last = record.epochs[-1]
    handled = record.spec.early_stopping is not None
    return Finding(
        rule="D6",
        severity="warning" if curves.is_severe or not handled else "info",
        confidence=margin(curves.rise, t.CONFIRMED_RISE * curves.lowest_val),
        epoch=last.number,
        step=last.step,
        evidence=curves.evidence(),
        explanation=(
            "The model overfits: it learns the training samples by heart instead of what they have in common. "
            f"Validation loss was lowest at epoch {curves.best_epoch} ({curves.lowest_val:.3g}) and has risen by "
            f"{100 * curves.rise / max(curves.lowest_val, 1e-9):.0f} % in {curves.epochs_past} epochs (to "
            f"{curves.last_val:.3g}), while the training loss kept falling. The gap is {curves.loss_gap:.2g} in loss "
            f"and {100 * curves.accuracy_gap:.0f} points of accuracy (an alert above 0.5, or above 10 points)."
            + (" Early stopping is on: the weights of the best epoch are the ones that are kept." if handled else "")
        ),
        remedy=Remedy(
            text=(
                f"Use the weights of epoch {curves.best_epoch} and regularise the next run: dropout 0.2-0.5 (random "
                "units are switched off while training), weight decay (large weights cost), label smoothing (the right "
                "answer counts 90 %, so that the model need not be certain), a moving average of the weights (`ema`), "
                "early stopping (training ends when validation no longer improves), augmentation (each image slightly "
                "changed every time); then more data, and at last a smaller network."
            ),
            patch=regularised(record),
        ),
    )


RULE = Rule("D6", "overfit_confirmed", judge, ("validation",), ("D5",))
