"""D10: the network collapsed: flat loss and no gradients, the usual face of a far too high learning rate."""

from service.diagnosis import thresholds as t
from service.diagnosis.record import RunRecord, Series
from service.diagnosis.remedy import clipping, lower_lr
from service.diagnosis.rule import Rule
from service.reports.finding import Finding, Remedy


def judge(record: RunRecord) -> Finding | None:
    """Nothing is learned, units are dead, and over half of the recent gradients are under 1e-7; the first was not."""
    losses = record.clean_loss()
    if not losses or losses[-1] <= t.FLAT_LEVEL * record.guessing_loss or not _units_dead(record):
        return None
    share = max(_silent_share([record.points("grad_norm/total")]), _silent_share(_matrices(record)))
    if share <= t.COLLAPSED_SHARE:
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


def _matrices(record: RunRecord) -> list[Series]:
    """The gradients of single matrices, which are sampled: they say little before some epochs have passed."""
    is_early = len(record.epochs) < t.FLAT_MIN_EPOCHS or record.steps < t.FLAT_MIN_STEPS
    return [] if is_early else list(record.weight_gradients().values())


def _silent_share(gradients: list[Series]) -> float:
    """Share of the recent norms that are practically zero; 0 where most gradients were so from the start."""
    first = [series.values[0] for series in gradients if len(series)]
    if sum(norm >= t.VANISHING_NORM for norm in first) <= len(first) / 2:
        return 0.0
    recent = [norm for series in gradients for norm in series.last(t.VANISHING_WINDOW).values]
    if len(recent) < t.VANISHING_SAMPLES:
        return 0.0
    return sum(norm < t.VANISHING_NORM for norm in recent) / len(recent)


def _units_dead(record: RunRecord) -> bool:
    shares = record.curve("probes", "dead_relu_share")
    return not shares or shares[-1] > t.DEAD_SHARE


RULE = Rule("D10", "collapsed", judge, ("steps",), ("D8", "D9", "D11", "D12", "D13", "D14", "D15"))
