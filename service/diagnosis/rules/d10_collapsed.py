"""D10: the network collapsed: flat loss and no gradients, the usual face of a far too high learning rate."""

from service.diagnosis import thresholds as t
from service.diagnosis.record import RunRecord
from service.diagnosis.remedy import clipping, lower_lr
from service.diagnosis.rule import Rule
from service.reports.finding import Finding, Remedy


def judge(record: RunRecord) -> Finding | None:
    """Nothing learned, units dead, weight gradients under 1e-7 in over half of the samples though alive at first."""
    losses, share = record.clean_loss(), silent_share(record)
    if len(losses) < t.FLAT_MIN_EPOCHS or record.steps < t.FLAT_MIN_STEPS or share is None:
        return None
    learned = losses[-1] <= t.FLAT_LEVEL * record.guessing_loss
    if learned or share <= t.COLLAPSED_SHARE or not _alive_at_first(record) or not _units_dead(record):
        return None
    last = record.epochs[-1]
    return Finding(
        rule="D10",
        severity="critical",
        confidence=round(min(0.99, 0.6 + 0.4 * share), 2),
        epoch=last.number,
        step=last.step,
        evidence={
            "train_loss": losses[-1],
            "guessing_loss": record.guessing_loss,
            "share_of_silent_weight_gradients": share,
            "learning_rate": record.lr,
        },
        explanation=(
            f"The network collapsed: its loss is {losses[-1]:.3g} (guessing gives {record.guessing_loss:.3g}), and "
            f"{100 * share:.0f} % of the gradients that were recorded last are practically zero (below 1e-7). The "
            "gradient says how to change a layer's weights: it was there at the start, and without it a layer can "
            f"never recover. The usual cause is a learning rate ({record.lr:.2g}) far too high: the first steps threw "
            "the weights where every unit is switched off."
        ),
        remedy=Remedy(
            text="Lower the learning rate tenfold or more, and clip the gradient's norm at 1.0, which shortens every "
            "step that would be too long. An `lr-find` job suggests a rate.",
            patch=lower_lr(record, 10) | clipping(record),
        ),
    )


def silent_share(record: RunRecord) -> float | None:
    """Share of the recent weight-gradient norms, over all matrices, that are below 1e-7."""
    norms = [v for series in record.weight_gradients().values() for v in series.last(t.VANISHING_WINDOW).values]
    return sum(norm < t.VANISHING_NORM for norm in norms) / len(norms) if norms else None


def _alive_at_first(record: RunRecord) -> bool:
    first = [series.values[0] for series in record.weight_gradients().values() if len(series)]
    return sum(norm >= t.VANISHING_NORM for norm in first) > len(first) / 2


def _units_dead(record: RunRecord) -> bool:
    shares = record.curve("probes", "dead_relu_share")
    return not shares or shares[-1] > t.DEAD_SHARE


RULE = Rule("D10", "collapsed", judge, ("probes", "gradients"), ("D8", "D9", "D11", "D12", "D13", "D14", "D15"))
