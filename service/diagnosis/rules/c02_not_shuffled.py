"""C2: the training data are not shuffled (common error 4)."""

from service.diagnosis.record import RunRecord
from service.diagnosis.rule import Rule
from service.reports.finding import Finding, Remedy


def judge(record: RunRecord) -> Finding | None:
    """The spec turned the shuffle off."""
    if record.spec.shuffle:
        return None
    return Finding(
        rule="C2",
        severity="warning",
        confidence=0.9,
        evidence={"shuffle": "off", "classes": float(record.classes)},
        explanation=(
            "The training samples come in the same order every epoch. When they are stored class by class, each "
            "batch shows one class only: the model keeps swinging towards the class it saw last, and batch norm "
            "sees statistics that no mixed batch has. Even in a mixed order the same batches every time bias the "
            "training."
        ),
        remedy=Remedy(
            text="Turn the shuffle on: a new order is drawn each epoch, from the seed.", patch={"shuffle": True}
        ),
    )


RULE = Rule("C2", "not_shuffled", judge, (), ("D11", "D12"))
