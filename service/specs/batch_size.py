"""The `batch-size` job: the largest batch that trains, and the smallest that trains fast."""

from typing import Literal

from pydantic import Field

from service.catalog.hyperparameters import BATCH_SIZE, BATCH_SIZES
from service.specs.train import BatchSize
from service.specs.training import AugmentedPart


class BatchSizeSpec(AugmentedPart):
    """Tries candidates downward in a process of its own, measures memory and samples per second."""

    kind: Literal["batch-size"]
    batch_size: BatchSize = BATCH_SIZE
    """The batch size that `optimizer.lr` belongs to; the recommended lr is scaled from it."""
    candidates: list[BatchSize] = Field(default=[*BATCH_SIZES], min_length=1, max_length=20)
    search_up: bool = True
    """When the largest candidate fits, go on doubling."""
    memory_limit_bytes: int | None = Field(default=None, ge=2**26, lt=2**53)
    """Memory that the training may take, on top of what its process needs to start; null: what the device has."""
