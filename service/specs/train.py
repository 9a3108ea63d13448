"""The `train` job: the full loop with early stopping, checkpoints and final reports."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from service.catalog.hyperparameters import BATCH_SIZE
from service.specs.optimizer import ConstantSchedule, CosineSchedule, EmaSpec, ScheduleSpec
from service.specs.part import Count, FromJob, Part, or_null
from service.specs.training import AugmentedPart

MAX_BATCH_SIZE = 65536
BatchSize = Annotated[int, Field(ge=1, le=MAX_BATCH_SIZE)]


class EarlyStoppingSpec(Part):
    """Stops when the metric has not improved by `min_delta` for `patience` epochs; the best weights are kept."""

    patience: int = Field(default=10, ge=1, le=10000)
    min_delta: float = Field(default=0.001, ge=0, le=1e9)
    metric: Literal["val/loss", "val/accuracy", "train/loss"] = "val/loss"
    mode: Literal["min", "max"] | None = None
    """Whether smaller or larger is better; null: by the metric's name."""

    @model_validator(mode="after")
    def _one_direction(self) -> Self:
        better = "max" if self.metric == "val/accuracy" else "min"
        if self.mode not in (None, better):
            larger = "larger" if better == "max" else "smaller"
            raise ValueError(f"`{self.metric}` is better when it is {larger}: leave `mode` out")
        return self


class GradientSpec(Part):
    """Statistics of each parameter's gradient, recorded every `every` steps."""

    every: Count = 50


class CheckpointSpec(Part):
    """When the state for an exact resume is written."""

    every_seconds: float = Field(default=30.0, ge=0, le=1e9)
    """Least time between two checkpoints inside an epoch."""
    every_steps: Count | None = None
    """Also after this many steps."""


AT_EPOCHS = CheckpointSpec(every_seconds=1e9)


class TrainFields(AugmentedPart):
    """Everything a training needs but its kind."""

    epochs: int = Field(default=20, ge=1, le=100_000)
    batch_size: BatchSize | FromJob | Literal["auto"] = BATCH_SIZE
    """Images per optimizer step; `auto` finds the largest sensible one first (32 or 64 is a good start)."""
    accumulate: int = Field(default=1, ge=1, le=1024)
    """Micro-batches whose gradients are added up for one optimizer step of `batch_size * accumulate` images."""
    schedule: Annotated[ScheduleSpec, or_null(ScheduleSpec, ConstantSchedule())] = CosineSchedule()
    early_stopping: EarlyStoppingSpec | None = EarlyStoppingSpec()
    ema: EmaSpec | None = None
    gradients: GradientSpec | None = GradientSpec()
    checkpoint: Annotated[CheckpointSpec, or_null(CheckpointSpec, AT_EPOCHS)] = CheckpointSpec()
    top_k: list[Count] = Field(default=[1, 5], min_length=1, max_length=10)
    """The k of each top-k accuracy in the reports."""
    compile: bool = False
    """`torch.compile` the model; pays for long jobs on a GPU. A worker without a compiler says so and does without."""
    channels_last: bool | None = None
    """Memory format of convolutions; null means yes: it is faster on GPUs and CPUs alike."""
    diagnose: bool = True
    """Record what the diagnosis needs: clean probes, update ratios, dead units."""
    on_finding: Literal["continue", "stop"] = "continue"
    """`stop` ends a run early when a finding says that it is hopeless."""


class TrainSpec(TrainFields):
    """Trains a network and reports on val and test."""

    kind: Literal["train"]
