"""D4: the model emits probabilities where the loss expects raw scores (errors 5 and 6)."""

from math import e, log

from service.diagnosis.record import RunRecord
from service.diagnosis.rule import Rule
from service.reports.finding import Finding, Remedy


def judge(record: RunRecord) -> Finding | None:
    """Every output row is non-negative and sums to 1, or every output lies between 0 and 1."""
    epoch = next((epoch for epoch in reversed(record.epochs) if "output_is_probability" in epoch.probes), None)
    if epoch is None:
        return None
    low, high = epoch.probes.get("output_min"), epoch.probes.get("output_max")
    squashed = low is not None and high is not None and low >= 0 and high <= 1 and high > low
    is_probability = epoch.probes["output_is_probability"] >= 1
    if not (is_probability or squashed):
        return None
    what = "a softmax" if is_probability else "a sigmoid (or another squashing function)"
    return Finding(
        rule="D4",
        severity="critical",
        confidence=0.97 if is_probability else 0.85,
        epoch=epoch.number,
        step=epoch.step,
        evidence={
            "rows_sum_to_one": float(is_probability),
            "smallest_output": low,
            "largest_output": high,
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


def least_loss(classes: int) -> float:
    """Cross entropy of a perfect one-hot vector that is softmaxed again."""
    return log(e + classes - 1) - 1


RULE = Rule("D4", "double_softmax", judge, ("probes",), ("D8", "D9", "D12", "D13"))
