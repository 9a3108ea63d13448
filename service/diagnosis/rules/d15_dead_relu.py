"""D15: most ReLU units are dead."""

from service.diagnosis import thresholds as t
from service.diagnosis.record import RunRecord
from service.diagnosis.remedy import Patch, lower_lr
from service.diagnosis.rule import Rule
from service.diagnosis.statistics import margin
from service.reports.finding import Finding, Remedy
from service.specs.model import TorchvisionSpec


def judge(record: RunRecord) -> Finding | None:
    """More than half of the units give zero for every probe sample."""
    shares = record.curve("probes", "dead_relu_share")
    if not shares or shares[-1] <= t.DEAD_SHARE:
        return None
    last = record.epochs[-1]
    return Finding(
        rule="D15",
        severity="warning",
        confidence=margin(shares[-1], t.DEAD_SHARE),
        epoch=last.number,
        step=last.step,
        evidence={
            "dead_units_percent": 100 * shares[-1],
            "dead_units_after_first_epoch_percent": 100 * shares[0],
            "learning_rate": record.lr,
        },
        explanation=(
            f"{100 * shares[-1]:.0f} % of a layer's ReLU units (they pass on what is positive and give zero otherwise) "
            "are dead: they give zero for every training sample that was looked at (up to 512), so no gradient reaches "
            "them and they never come back. The network works with the rest only. Too large steps early in training "
            f"are the usual cause (the learning rate is {record.lr:.2g})."
        ),
        remedy=Remedy(
            text="Lower the learning rate tenfold, and use LeakyReLU, which is never fully off.", patch=_patch(record)
        ),
    )


def _patch(record: RunRecord) -> Patch:
    patch = lower_lr(record, 10)
    return patch if isinstance(record.spec.model, TorchvisionSpec) else patch | {"model.activation": "leaky_relu"}


RULE = Rule("D15", "dead_relu", judge, ("probes",), ("D9",))
