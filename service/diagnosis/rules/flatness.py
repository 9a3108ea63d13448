"""What D8 and D10 share: has the clean train loss moved at all?"""

from dataclasses import dataclass

from service.diagnosis import thresholds as t
from service.diagnosis.record import RunRecord


@dataclass(frozen=True, slots=True)
class Flatness:
    """The clean train loss over the epochs so far, in nats."""

    first: float
    last: float
    guessing: float
    epochs: int


def flatness(record: RunRecord) -> Flatness | None:
    """The curve if it is flat near guessing; nothing if it moved, or if there is too little of it."""
    losses = record.clean_loss()
    if len(losses) < t.FLAT_MIN_EPOCHS or record.steps < t.FLAT_MIN_STEPS:
        return None
    level = record.guessing_loss
    recent = losses if len(losses) < 2 * t.FLAT_MIN_EPOCHS else losses[len(losses) // 2 :]
    moved = max(recent) - min(recent)
    if moved >= t.FLAT_CHANGE * level or losses[-1] <= t.FLAT_LEVEL * level:
        return None
    return Flatness(first=losses[0], last=losses[-1], guessing=level, epochs=len(losses))
