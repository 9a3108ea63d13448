"""D14: gradients explode."""

import math
from statistics import median

from service.diagnosis import thresholds as t
from service.diagnosis.record import RunRecord
from service.diagnosis.remedy import clipping, lower_lr, normalising_layers
from service.diagnosis.rule import Rule
from service.diagnosis.statistics import margin
from service.reports.finding import Finding, Remedy


def judge(record: RunRecord) -> Finding | None:
    """Total norm over 100 in a tenth of the steps, or leaps far over the steps before in 1 % of them (at least two)."""
    series = record.points("grad_norm/total")
    pairs = [(step, norm) for step, norm in zip(series.steps, series.values, strict=True) if math.isfinite(norm)]
    high = [(step, norm) for step, norm in pairs if norm > t.EXPLODING_NORM]
    leaps = [pair for pair, limit in zip(pairs, limits_at([norm for _, norm in pairs]), strict=True) if pair[1] > limit]
    if len(high) >= max(2, t.EXPLODING_HIGH_SHARE * len(pairs)):
        over = high
    elif len(leaps) >= max(2, t.EXPLODING_SHARE * len(pairs)):
        over = leaps
    else:
        return None
    step, norm = max(over, key=lambda pair: pair[1])
    typical = median(series.finite())
    return Finding(
        rule="D14",
        severity="warning",
        confidence=margin(norm, t.EXPLODING_NORM) if norm > t.EXPLODING_NORM else 0.6,
        epoch=next((epoch.number for epoch in record.epochs if epoch.step >= step), None),
        step=step,
        evidence={
            "largest_gradient_norm": norm,
            "median_gradient_norm": typical,
            "threshold": t.EXPLODING_NORM,
            "steps_over": len(over),
            "steps_seen": len(series),
            "learning_rate": record.lr,
        },
        explanation=(
            f"The gradients explode: in {len(over)} of {len(series)} steps their norm (how long a step they ask for) "
            f"was far over the usual (up to {norm:.3g} at step {step}; the median is {typical:.3g}, the limit 100). "
            "One such step can undo all that was learned before, and the next one may end in NaN (not a number)."
        ),
        remedy=Remedy(
            text="Clip the gradient's norm at 1.0, lower the learning rate, and let batch norm rescale each layer.",
            patch=clipping(record) | normalising_layers(record) | lower_lr(record, 3),
        ),
    )


def limits_at(norms: list[float]) -> list[float]:
    """For each step the norm that is a leap: over 100 and 5 times the median of the 50 steps before, or 100 times it.

    A norm that is always near 100 is the scale of that network, not an explosion.
    """
    limits = []
    for i in range(len(norms)):
        before = norms[max(0, i - 50) : i]
        usual = median(before) if len(before) >= 10 else 0.0
        high = max(t.EXPLODING_NORM, t.EXPLODING_LEAP * usual)
        relative = max(t.EXPLODING_FLOOR, t.EXPLODING_FACTOR * usual) if usual else math.inf
        limits.append(min(high, relative))
    return limits


RULE = Rule("D14", "exploding", judge, ("steps",))
