"""D6: overfitting: val loss rises while train loss falls, and the gap between them is large."""

from service.diagnosis import thresholds as t
from service.diagnosis.overfitting import divergence
from service.diagnosis.record import RunRecord
from service.diagnosis.remedy import regularised
from service.diagnosis.rule import Rule
from service.diagnosis.statistics import margin
from service.reports.finding import Finding, Remedy


def judge(record: RunRecord) -> Finding | None:
    """METHOD D6 with the chapter's indicators; when only the loss suffers and the gaps are small, D7 speaks."""
    seen = divergence(record)
    if seen is None or not seen.confirmed or not (seen.costs_accuracy or seen.exceeds_indicators):
        return None
    last = record.epochs[-1]
    handled = record.spec.early_stopping is not None
    return Finding(
        rule="D6",
        severity="warning" if seen.is_severe or not handled else "info",
        confidence=margin(seen.rise, t.CONFIRMED_RISE * seen.lowest_val),
        epoch=last.number,
        step=last.step,
        evidence=seen.evidence(),
        explanation=(
            "The model overfits: it learns the training samples by heart instead of what they have in common. "
            f"Validation loss was lowest at epoch {seen.best_epoch} ({seen.lowest_val:.3g}) and has risen by "
            f"{100 * seen.rise / max(seen.lowest_val, 1e-9):.0f} % in {seen.epochs_past} epochs (to "
            f"{seen.last_val:.3g}), while the training loss kept falling. The gap is {seen.loss_gap:.2g} in loss and "
            f"{100 * seen.accuracy_gap:.0f} points of accuracy (an alert above 0.5, or above 10 points)."
            + (" Early stopping is on: the weights of the best epoch are the ones that are kept." if handled else "")
        ),
        remedy=Remedy(
            text=(
                f"Use the weights of epoch {seen.best_epoch} and regularise the next run: dropout 0.2-0.5 (random "
                "units are switched off while training), weight decay (large weights cost), label smoothing (the right "
                "answer counts 90 %, so that the model need not be certain), a moving average of the weights (`ema`), "
                "early stopping (training ends when validation no longer improves), augmentation (each image slightly "
                "changed every time); then more data, and at last a smaller network."
            ),
            patch=regularised(record),
        ),
    )


RULE = Rule("D6", "overfit_confirmed", judge, ("validation",), ("D5",))
