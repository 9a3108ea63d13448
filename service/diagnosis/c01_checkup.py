"""C1: the check-up before the first step found a fault in the model or in its first batch (errors 5, 8, 9, 12, 13)."""

from service.diagnosis.record import RunRecord
from service.diagnosis.rule import Rule
from service.reports.finding import Finding, Remedy


def judge(record: RunRecord) -> Finding | None:
    """Any check that did not pass."""
    failed = [] if record.checkup is None else [check for check in record.checkup.checks if not check.passed]
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


RULE = Rule("C1", "checkup_failed", judge, ("checkup",))
