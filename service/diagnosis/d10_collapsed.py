"""D10: the network collapsed: flat loss and no gradients, the usual face of a far too high learning rate."""

from service.diagnosis import thresholds as t
from service.diagnosis.flatness import flatness
from service.diagnosis.record import RunRecord
from service.diagnosis.remedy import clipping, scaled_lr
from service.diagnosis.rule import Rule
from service.reports.finding import Finding, Remedy


def judge(record: RunRecord) -> Finding | None:
    """D8, and weight gradients under 1e-7 in over half of the samples although they were alive at the start."""
    flat = flatness(record)
    share = silent_share(record)
    if flat is None or share is None or share <= t.COLLAPSED_SHARE or not _alive_at_first(record):
        return None
    last = record.epochs[-1]
    return Finding(
        rule="D10",
        severity="critical",
        confidence=round(min(0.99, 0.6 + 0.4 * share), 2),
        epoch=last.number,
        step=last.step,
        evidence={
            "train_loss": flat.last,
            "guessing_loss": flat.guessing,
            "share_of_silent_weight_gradients": share,
            "learning_rate": record.lr,
        },
        explanation=(
            f"The network collapsed: its loss stands at {flat.last:.3g} (guessing gives {flat.guessing:.3g}) and "
            f"{100 * share:.0f} % of its layers receive no gradient any more (below 1e-7), so they can never "
            f"recover. They did learn at the start. The usual cause is a learning rate ({record.lr:.2g}) far too "
            "high: the first steps threw the weights where every unit is switched off."
        ),
        remedy=Remedy(
            text="Divide the learning rate by 10 and clip the gradient's norm at 1.0; `lr-find` gives the best value.",
            patch=scaled_lr(record, 0.1) | clipping(record),
        ),
    )


def silent_share(record: RunRecord) -> float | None:
    """Share of the recent weight-gradient norms, over all matrices, that are below 1e-7."""
    norms = [v for series in record.weight_gradients().values() for v in series.last(t.VANISHING_WINDOW).values]
    return sum(norm < t.VANISHING_NORM for norm in norms) / len(norms) if norms else None


def _alive_at_first(record: RunRecord) -> bool:
    first = [series.values[0] for series in record.weight_gradients().values() if len(series)]
    return sum(norm >= t.VANISHING_NORM for norm in first) > len(first) / 2


RULE = Rule("D10", "collapsed", judge, ("probes", "gradients"), ("D8", "D9", "D12", "D13", "D14", "D15"))
