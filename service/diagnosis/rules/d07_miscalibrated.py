"""D7: val loss rises but val accuracy holds: the model is not worse, only too sure of itself."""

from service.diagnosis.overfitting import compare_curves
from service.diagnosis.record import RunRecord
from service.diagnosis.rule import Rule
from service.reports.finding import Finding, Remedy


def judge(record: RunRecord) -> Finding | None:
    """The rise of D6, with val accuracy within one standard error of its best and without both gaps being open."""
    curves = compare_curves(record)
    if curves is None or not curves.is_confirmed or curves.costs_accuracy or curves.exceeds_indicators:
        return None
    last = record.epochs[-1]
    return Finding(
        rule="D7",
        severity="info",
        confidence=0.8,
        epoch=last.number,
        step=last.step,
        evidence=curves.evidence(),
        explanation=(
            f"Validation loss has risen from {curves.lowest_val:.3g} (epoch {curves.best_epoch}) to "
            f"{curves.last_val:.3g}, but validation accuracy is still within chance of its best. The model does not "
            "make more mistakes; it is only too confident in those it makes. Its predicted probabilities should not be "
            "taken at their word."
        ),
        remedy=Remedy(
            text="Choose the best epoch by val accuracy; smooth the labels by 0.1 if you need honest probabilities.",
            patch={"loss.label_smoothing": 0.1},
        ),
    )


RULE = Rule("D7", "miscalibrated_only", judge, ("validation",), ("D5",))
