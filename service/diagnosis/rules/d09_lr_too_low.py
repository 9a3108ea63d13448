"""D9: the learning rate is too low (common error 3)."""

from service.diagnosis import thresholds as t
from service.diagnosis.record import RunRecord, median
from service.diagnosis.remedy import Patch, clip_is_choking, higher_lr
from service.diagnosis.rule import Rule
from service.diagnosis.statistics import decimal, margin
from service.reports.finding import Finding, Remedy


def judge(record: RunRecord) -> Finding | None:
    """Steps that are tiny beside the weights they change, in a model that has not learned yet."""
    ratio = first_update_ratio(record)
    losses = record.clean_loss()
    if ratio is None or ratio >= t.UPDATE_RATIO or (losses and losses[-1] < t.LEARNED * record.guessing_loss):
        return None
    return Finding(
        rule="D9",
        severity="warning",
        confidence=margin(t.UPDATE_RATIO, max(ratio, 1e-12)),
        epoch=record.epochs[-1].number if record.epochs else None,
        step=record.steps,
        evidence={
            "median_update_ratio": ratio,
            "least_healthy_update_ratio": t.UPDATE_RATIO,
            "learning_rate": record.lr,
            "train_loss": losses[-1] if losses else None,
        },
        explanation=(
            f"The learning rate ({record.lr:.2g}) is too low: a step changes the weights by only "
            f"{decimal(100 * ratio)} % of their size, where about 0.1 % is usual. The loss falls so slowly that the "
            "training would need many times more epochs to arrive anywhere."
        ),
        remedy=Remedy(
            text="Raise the learning rate tenfold or more, or use what an `lr-find` job suggests.",
            patch=_patch(record, ratio),
        ),
    )


def first_update_ratio(record: RunRecord) -> float | None:
    """Median of norm(dw) / norm(w) over the first steps, each scaled to the full learning rate (warmup is no fault)."""
    ratios, lrs = record.points("update_ratio"), record.points("lr/group0")
    scaled = []
    for step, ratio in zip(ratios.steps, ratios.values, strict=True):
        lr = lrs.at(step) if len(lrs) else record.lr
        if step <= t.UPDATE_STEPS and lr:
            scaled.append(ratio * record.lr / lr)
    return median(scaled) if len(scaled) >= t.UPDATE_MIN_SAMPLES else None


def _patch(record: RunRecord, ratio: float) -> Patch:
    """Aims at the usual update ratio, which grows with the rate; a clip that eats every gradient goes first."""
    if clip_is_choking(record):
        return {"clip_norm": 1.0}
    return higher_lr(record, max(10.0, t.USUAL_UPDATE_RATIO / max(ratio, 1e-12)))


RULE = Rule("D9", "lr_too_low", judge, ("steps",), ("D8", "D11", "D12"))
