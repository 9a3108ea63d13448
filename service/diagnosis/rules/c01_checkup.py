"""C1: the check-up before the first step found a fault in the model or its first batch (common errors 5, 9, 12)."""

from service.diagnosis import thresholds as t
from service.diagnosis.record import RunRecord
from service.diagnosis.remedy import dropout
from service.diagnosis.rule import Rule
from service.diagnosis.rules import d02_input_scale as input_scale
from service.reports.finding import Finding, Remedy
from service.reports.result import Check

LATER: frozenset[str] = frozenset({"initial-loss", "dead-units"})
"""In eval mode an untrained BatchNorm scales nothing: these two say little before the first step; D15 looks later."""


def judge(record: RunRecord) -> Finding | None:
    """A check that did not pass, but for those that a sound model may fail before it has learned."""
    failed = [check for check in record.checkup.checks if not check.passed] if record.checkup else []
    failed = [check for check in failed if check.name not in LATER or _far_off(check, record)]
    if not failed:
        return None
    return Finding(
        rule="C1",
        severity="warning",
        confidence=0.9,
        epoch=None,
        step=0,
        evidence={"failed_checks": [check.name for check in failed], "details": [check.detail for check in failed]},
        explanation=(
            "Before the first step the service looked at the model and at one batch, and something was not as it "
            "should be: "
            + " ".join(f"{check.name}: {check.detail.rstrip('.')}." for check in failed)
            + " A fault at the start is not mended by training."
        ),
        remedy=Remedy(
            text="Correct this first, then run a `sanity` job: a sound model learns 64 samples by heart in 100 steps."
        ),
    )


def _far_off(check: Check, record: RunRecord) -> bool:
    """A loss so high that the starting weights are wrong; off-scale inputs and much dropout do that too."""
    loss = record.before_training.get("initial_loss")
    if (
        check.name != "initial-loss"
        or not isinstance(loss, float)
        or input_scale.judge(record)
        or dropout(record) > t.USUAL_DROPOUT
    ):
        return False
    return not loss < record.guessing_loss + t.INITIAL_LOSS


RULE = Rule("C1", "checkup_failed", judge, ("checkup",), ("D8", "D9", "D12"))
