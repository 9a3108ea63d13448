"""D1: the loss or a gradient became NaN or infinite."""

import math

from service.diagnosis.record import Epoch, RunRecord, Series
from service.diagnosis.remedy import clipping, lower_lr
from service.diagnosis.rule import Rule
from service.reports.finding import Finding, Remedy
from service.states import StopReason


def judge(record: RunRecord) -> Finding | None:
    """Any value that is not finite; with fp16 a gradient may overflow by design, so only the loss counts."""
    step = _first(record)
    if step is None and record.stop_reason is not StopReason.DIVERGED:
        return None
    at = step if step is not None else record.steps
    losses, norms = (
        record.points("train/loss").before(at).finite(),
        record.points("grad_norm/total").before(at).finite(),
    )
    lr = record.points("lr/group0").at(at) or record.lr
    from_start = not losses
    return Finding(
        rule="D1",
        severity="critical",
        confidence=0.99,
        epoch=next((epoch.number for epoch in record.epochs if epoch.step >= at), None),
        step=at,
        evidence={
            "first_nonfinite_step": at,
            "learning_rate": lr,
            "last_finite_loss": losses[-1] if losses else None,
            "last_finite_gradient_norm": norms[-1] if norms else None,
        },
        explanation=_explanation(at, lr, losses, from_start),
        remedy=_remedy(record, from_start),
    )


def _first(record: RunRecord) -> int | None:
    names = ["train/loss"] if record.spec.precision == "fp16" else ["train/loss", "grad_norm/total"]
    series: list[Series] = [record.points(name) for name in names]
    steps = [step for values in series if (step := values.first_nonfinite()) is not None]
    epochs = [epoch.step for epoch in record.epochs if not _is_finite(epoch)]
    return min(steps + epochs, default=None)


def _is_finite(epoch: Epoch) -> bool:
    return all(math.isfinite(split.get("loss", 0.0)) for split in (epoch.train, epoch.val))


def _explanation(step: int, lr: float, losses: list[float], from_start: bool) -> str:
    if from_start:
        return (
            f"The very first loss (step {step}) was not a number (NaN) or infinite. That is not the training's doing: "
            "the data or the starting weights already contain values that cannot be computed with."
        )
    return (
        f"At step {step} the loss (how wrong the model is) or its gradient (how each weight should change) became NaN "
        f"(not a number) or infinite; the last loss before was {losses[-1]:.3g}, at a learning rate (size of the "
        f"steps) of {lr:.2g}. From such a step on every weight is lost and nothing more is learned. The usual cause is "
        "exploding gradients: steps so large that the weights overflow."
    )


def _remedy(record: RunRecord, from_start: bool) -> Remedy:
    if from_start:
        return Remedy(
            text="Look for non-finite values in the dataset's profile, and run a `sanity` job to try one batch alone."
        )
    patch = lower_lr(record, 10) | clipping(record)
    if record.spec.precision == "fp16":
        patch["precision"] = "bf16"
    return Remedy(
        text=f"Lower the learning rate (to {patch['optimizer.lr']:g}), and clip the gradient's norm at 1.0, which "
        "shortens every step that would be too long.",
        patch=patch,
    )


RULE = Rule(
    "D1", "nonfinite", judge, (), ("D3", "D5", "D6", "D7", "D8", "D9", "D10", "D11", "D12", "D13", "D14", "D15")
)
