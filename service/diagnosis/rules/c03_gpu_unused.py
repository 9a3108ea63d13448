"""C3: the worker has a GPU and the spec keeps the training off it (common error 7)."""

from service.diagnosis.record import RunRecord
from service.diagnosis.rule import Rule
from service.reports.finding import Finding, Remedy


def judge(record: RunRecord) -> Finding | None:
    """The check-up saw a GPU and the run's device is the CPU."""
    statistics = record.before_training
    if not statistics.get("gpu_available") or statistics.get("device", "cpu") != "cpu":
        return None
    return Finding(
        rule="C3",
        severity="info",
        confidence=0.99,
        evidence={"device": "cpu", "gpu_available": 1.0, "device_in_spec": record.spec.device},
        explanation=(
            "This training ran on the CPU although its worker has a GPU, because the spec says `device: cpu`. On a "
            "GPU it would usually be many times faster; the result would be the same."
        ),
        remedy=Remedy(text="Let the worker choose (`device: auto`).", patch={"device": "auto"}),
    )


RULE = Rule("C3", "gpu_unused", judge, ("checkup",))
