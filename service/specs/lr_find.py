"""The `lr-find` job: Smith's learning-rate range test."""

from typing import Literal, Self

from pydantic import Field, model_validator

from service.catalog.hyperparameters import BATCH_SIZE
from service.specs.train import BatchSize
from service.specs.training import AugmentedPart


class LrFindSpec(AugmentedPart):
    """Raises the learning rate exponentially and reads the best one off the loss curve; the model is left as it was."""

    kind: Literal["lr-find"]
    batch_size: BatchSize = BATCH_SIZE
    lr_min: float = Field(default=1e-7, gt=0)
    lr_max: float = Field(default=1.0, gt=0, le=100)
    num_steps: int = Field(default=100, ge=20, le=10_000)
    divergence_factor: float = Field(default=10.0, gt=1, le=1e9)
    """The sweep stops when the loss exceeds this many times the first loss."""
    rule: Literal["probe", "chapter"] = "probe"
    """`probe`: loss on a fixed batch, slope over log lr. `chapter`: the steepest slope of the raw training loss."""

    @model_validator(mode="after")
    def _range_is_ordered(self) -> Self:
        if self.lr_min >= self.lr_max:
            raise ValueError("lr_min must be below lr_max")
        return self
