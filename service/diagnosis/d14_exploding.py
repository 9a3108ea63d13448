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
    """Total norm over 100, or over 100 times its running median, in 1 % of the steps (at least two)."""
    series = record.points("grad_norm/total")
    limits = limits_at(series.values)
    over = [
        (step, norm)
        for step, norm, limit in zip(series.steps, series.values, limits, strict=True)
        if math.isfinite(norm) and norm > limit
    ]
    if len(over) < max(2, t.EXPLODING_SHARE * len(series)):
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
            f"The gradients explode: in {len(over)} of {len(series)} steps their norm was far over the usual (up to "
            f"{norm:.3g} at step {step}; the median is {typical:.3g}, the limit 100). One such step can undo all "
            "that was learned before, and the next one may end in NaN."
        ),
        remedy=Remedy(
            text="Clip the gradient's norm at 1.0, lower the learning rate, and let batch norm rescale each layer.",
            patch=clipping(record) | normalising_layers(record) | lower_lr(record, 3),
        ),
    )


def limits_at(norms: tuple[float, ...]) -> list[float]:
    """For each step the norm above which it explodes: 100, or 100 times the median of the 50 steps before."""
    limits = []
    for i in range(len(norms)):
        before = [norm for norm in norms[max(0, i - 50) : i] if math.isfinite(norm)]
        relative = t.EXPLODING_FACTOR * median(before) if len(before) >= 10 else math.inf
        limits.append(min(t.EXPLODING_NORM, max(t.EXPLODING_FLOOR, relative)))
    return limits


RULE = Rule("D14", "exploding", judge, ("steps",))
