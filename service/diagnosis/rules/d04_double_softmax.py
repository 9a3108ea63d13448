"""D4: the model emits probabilities where the loss expects raw scores (common errors 5 and 6)."""

from math import e, log

from service.diagnosis.record import RunRecord
from service.diagnosis.rule import Rule
from service.reports.finding import Finding, Remedy


def judge(record: RunRecord) -> Finding | None:
    """Every output row is non-negative and sums to 1, or every output lies between 0 and 1."""
    untrained = record.before_training
    epoch = next((epoch for epoch in reversed(record.epochs) if "output_is_probability" in epoch.probes), None)
    probes = epoch.probes if epoch else {}
    low, high = (probes.get(name, untrained.get(name)) for name in ("output_min", "output_max"))
    squashed = _within(low, high) and _within(untrained.get("output_min"), untrained.get("output_max"))
    is_probability = probes.get("output_is_probability", 0.0) >= 1
    if not (is_probability or squashed):
        return None
    what = "a softmax" if is_probability else "a sigmoid (or another squashing function)"
    return Finding(
        rule="D4",
        severity="critical",
        confidence=0.97 if is_probability else 0.85,
        epoch=epoch.number if epoch else None,
        step=epoch.step if epoch else 0,
        evidence={
            "rows_sum_to_one": float(is_probability),
            "smallest_output": low if isinstance(low, float) else None,
            "largest_output": high if isinstance(high, float) else None,
            "least_reachable_loss": least_loss(record.classes),
        },
        explanation=(
            f"The model's outputs already went through {what}: they all lie between 0 and 1. Cross entropy applies "
            "its own softmax and expects raw scores (logits) of any size. Squashed twice, the loss cannot fall "
            f"below {least_loss(record.classes):.2f} however good the model is, and gradients become too small to "
            "learn well."
        ),
        remedy=Remedy(
            text="Remove the last activation: the output layer must be a bare Linear layer that emits logits."
        ),
    )


def _within(low: object, high: object) -> bool:
    """Whether outputs lie between 0 and 1; asked of the untrained model too, since a collapsed one may end there."""
    return isinstance(low, float) and isinstance(high, float) and 0 <= low < high <= 1


def least_loss(classes: int) -> float:
    """Cross entropy of a perfect one-hot vector that is softmaxed again."""
    return log(e + classes - 1) - 1


RULE = Rule("D4", "double_softmax", judge, (), ("D8", "D9", "D12", "D13"))
