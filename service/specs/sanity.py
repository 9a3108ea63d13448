"""The `sanity` job: can the model overfit one small batch?"""

from typing import Literal

from pydantic import Field

from service.specs.training import TrainingPart


class SanitySpec(TrainingPart):
    """Overfits one fixed, class-stratified batch; a model that cannot has a fault that no training will mend."""

    kind: Literal["sanity"]
    samples: int = Field(default=64, ge=10, le=100)
    """Size of the batch."""
    max_steps: int = Field(default=100, ge=1, le=10_000)
    threshold: float = Field(default=0.95, gt=0, lt=1)
    """Accuracy on the batch that must be exceeded."""
    dropout: bool = False
    """Leave the model's dropout on."""
    batch_size: int | None = Field(default=None, ge=10, le=100)
    """The same as `samples`, for specs made from a `train` spec; null: `samples` decides."""
