"""How weights are updated: optimizer, learning-rate schedule, and the exponential moving average."""

from typing import Annotated, Literal

from pydantic import Field

from service.catalog.hyperparameters import OPTIMIZERS, TRANSFORMER_SHARE, OptimizerName
from service.specs.part import Count, FromJob, Part

LearningRate = Annotated[float, Field(gt=0, le=100)]
_USUAL = OPTIMIZERS.items()
LR_WORDS = (
    f"Null: {', '.join(f'{usual.lr:g} for {name}' for name, usual in _USUAL)}; {TRANSFORMER_SHARE:g} of that for "
    "transformers. See `backbone_lr` too."
)
WEIGHT_DECAY_WORDS = (
    f"Null: {', '.join(f'{usual.weight_decay:g} for {name}' for name, usual in _USUAL)}. "
    f"Usual: {', '.join('{} {:g}..{:g}'.format(name, *usual.weight_decay_range) for name, usual in _USUAL)}."
)


class OptimizerSpec(Part):
    """Optimizer; what is null takes the usual value for the optimizer's name."""

    name: OptimizerName = "adamw"
    lr: LearningRate | FromJob | None = Field(default=None, description=LR_WORDS)
    weight_decay: float | None = Field(default=None, ge=0, le=10, description=WEIGHT_DECAY_WORDS)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    """Of sgd; adam and adamw use it as their first beta."""
    nesterov: bool = False
    """Nesterov momentum (sgd with momentum only)."""
    backbone_lr: LearningRate | None = None
    """Learning rate of pretrained layers. Null: a tenth of `lr` when there are pretrained weights, else `lr`."""
    layer_decay: float | None = Field(default=None, gt=0, le=1)
    """Factor on the learning rate from one stage of a torchvision network to the one before. Null: 0.75 for pretrained
    transformers and ConvNeXt, else 1."""


Warmup = Annotated[float, Field(ge=0, le=0.5)]


class ConstantSchedule(Part):
    """The learning rate stays."""

    name: Literal["constant"] = "constant"
    warmup: Warmup = 0.0
    """Share of all steps over which the learning rate rises linearly from near zero."""


class StepSchedule(Part):
    """The learning rate is multiplied by `gamma` every `step_epochs`."""

    name: Literal["step"]
    step_epochs: Count = 10
    gamma: float = Field(default=0.1, gt=0, lt=1)
    warmup: Warmup = 0.0
    """Share of all steps over which the learning rate rises linearly from near zero."""


class CosineSchedule(Part):
    """The learning rate falls along half a cosine to `min_factor` of itself at the last step."""

    name: Literal["cosine"] = "cosine"
    min_factor: float = Field(default=0.0, ge=0, lt=1)
    warmup: Warmup = 0.05
    """Share of all steps over which the learning rate rises linearly from near zero."""


class OneCycleSchedule(Part):
    """Smith's 1cycle: up from lr / `div_factor` to lr over the first `warmup`, then down to almost zero."""

    name: Literal["one-cycle"]
    warmup: float = Field(default=0.3, gt=0, le=0.9)
    """Share of all steps that rise."""
    div_factor: float = Field(default=25.0, gt=1, le=1e9)
    final_div_factor: float = Field(default=1e4, gt=1, le=1e9)


class PlateauSchedule(Part):
    """The learning rate is multiplied by `factor` after `patience` epochs in which val loss did not improve."""

    name: Literal["reduce-on-plateau"]
    factor: float = Field(default=0.1, gt=0, lt=1)
    patience: int = Field(default=5, ge=0, le=10_000)
    min_delta: float = Field(default=0.001, ge=0, le=1e9)
    warmup: Warmup = 0.0
    """Share of all steps over which the learning rate rises linearly from near zero."""


ScheduleSpec = Annotated[
    ConstantSchedule | StepSchedule | CosineSchedule | OneCycleSchedule | PlateauSchedule, Field(discriminator="name")
]


class EmaSpec(Part):
    """Exponential moving average of the weights; evaluation and the best checkpoint use it."""

    decay: float = Field(default=0.999, gt=0, lt=1)
