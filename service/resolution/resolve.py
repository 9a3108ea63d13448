"""From the spec that a client sent to the one that runs: every default filled in, or a list of what cannot work."""

from dataclasses import dataclass
from typing import TypeVar

from service.errors import FieldError, SpecError
from service.reports.dataset import DatasetMeta
from service.reports.resolution import Advice, Estimates
from service.resolution.estimates import estimate
from service.resolution.validation import Limits, refuse
from service.resolution.warnings import advise
from service.specs import AnyJobSpec
from service.specs.model import TorchvisionSpec
from service.specs.optimizer import OptimizerSpec
from service.specs.part import FromJob
from service.specs.sanity import SanitySpec
from service.specs.train import EarlyStoppingSpec, TrainFields
from service.specs.training import TrainingPart
from service.specs.tune import TuneSpec

BASE_LR: dict[str, float] = {"sgd": 1e-2, "adam": 1e-3, "adamw": 1e-3}
WEIGHT_DECAY: dict[str, float] = {"sgd": 1e-4, "adam": 1e-4, "adamw": 1e-2}
# Large transformers want ten times less (SPEC section 4: 1e-5 for their pretrained layers).
TRANSFORMERS: tuple[str, ...] = ("vit", "swin", "maxvit")
BACKBONE_SHARE = 0.1
# From one stage to the one before, for these families with pretrained weights (METHOD, training).
LAYER_DECAY = 0.75
DECAYED: tuple[str, ...] = ("vit", "swin", "maxvit", "convnext")

Training = TypeVar("Training", bound=TrainingPart)


@dataclass(frozen=True)
class Resolution:
    """A spec that may run, what is unusual about it, and what it will cost."""

    spec: AnyJobSpec
    warnings: list[Advice]
    estimates: Estimates | None


def resolve(spec: AnyJobSpec, limits: Limits, data: DatasetMeta | None = None, *, gpu: bool = False) -> Resolution:
    """Fills every default that depends on other fields, and judges the result.

    `data` is what is known of the dataset (None while it is imported); `gpu` says that a worker has one.
    Raises SpecError with a pointer to each field that cannot work.
    """
    filled = _fill(spec)
    training, prefix = training_of(filled)
    if errors := refuse(filled, training, prefix, limits, data):
        raise SpecError(_sentence(errors), errors)
    warnings = advise(training, prefix, data, gpu=gpu)
    return Resolution(filled, warnings, estimate(filled, training, data) if data else None)


def training_of(spec: AnyJobSpec) -> tuple[TrainingPart, str]:
    """The part of a spec that describes the training, and the pointer to it."""
    return (spec.train, "/train") if isinstance(spec, TuneSpec) else (spec, "")


def _fill(spec: AnyJobSpec) -> AnyJobSpec:
    if isinstance(spec, TuneSpec):
        return spec.model_copy(update={"train": _fill_base(spec)})
    if isinstance(spec, SanitySpec):
        samples = spec.batch_size or spec.samples
        return fill_training(spec).model_copy(update={"samples": samples, "batch_size": samples})
    return fill_training(spec)


def _fill_base(spec: TuneSpec) -> TrainFields:
    """The base of a search. What depends on a searched value stays open: each trial fills it for itself."""
    filled = fill_training(spec.train)
    roots = {path.split(".")[0] for path in spec.search_space}
    return filled.model_copy(update={"optimizer": spec.train.optimizer}) if roots & {"optimizer", "model"} else filled


def fill_training(part: Training) -> Training:
    """Fills the fields of a training part that depend on its other fields."""
    changes: dict[str, object] = {"optimizer": _fill_optimizer(part)}
    if isinstance(part, TrainFields) and part.early_stopping is not None:
        changes["early_stopping"] = _fill_early_stopping(part.early_stopping)
    return part.model_copy(update=changes)


def _fill_optimizer(part: TrainingPart) -> OptimizerSpec:
    optimizer = part.optimizer
    lr = _default_lr(part) if optimizer.lr is None else optimizer.lr
    decay = WEIGHT_DECAY[optimizer.name] if optimizer.weight_decay is None else optimizer.weight_decay
    backbone_lr = optimizer.backbone_lr
    if backbone_lr is None and isinstance(part.model, TorchvisionSpec) and not isinstance(lr, FromJob):
        backbone_lr = lr * BACKBONE_SHARE if part.model.weights is not None else lr
    factor = optimizer.layer_decay
    if factor is None and isinstance(part.model, TorchvisionSpec):
        factor = layer_decay(part.model)
    changes = {"lr": lr, "weight_decay": decay, "backbone_lr": backbone_lr, "layer_decay": factor}
    return optimizer.model_copy(update=changes)


def layer_decay(model: TorchvisionSpec) -> float:
    """The usual factor on the learning rate from one stage of this network to the one before."""
    return LAYER_DECAY if model.weights is not None and model.arch.startswith(DECAYED) else 1.0


def _default_lr(part: TrainingPart) -> float:
    """The head's learning rate; pretrained layers get a tenth of it (SPEC section 3: head 1e-3, backbone 1e-4)."""
    lr = BASE_LR[part.optimizer.name]
    is_transformer = isinstance(part.model, TorchvisionSpec) and part.model.arch.startswith(TRANSFORMERS)
    return lr * 0.1 if is_transformer else lr


def _fill_early_stopping(spec: EarlyStoppingSpec) -> EarlyStoppingSpec:
    mode = spec.mode or ("max" if spec.metric.endswith("accuracy") else "min")
    return spec.model_copy(update={"mode": mode})


def _sentence(errors: list[FieldError]) -> str:
    first = f"{errors[0].pointer}: {errors[0].detail}"
    return first if len(errors) == 1 else f"{first} (and {len(errors) - 1} more)"


def lowered_lr(optimizer: OptimizerSpec, lr: float, divisor: float) -> float:
    """The learning rate divided; where even that is far above the optimizer's usual one, the usual one."""
    usual = BASE_LR[optimizer.name]
    return float(f"{usual if lr / divisor > 3 * usual else lr / divisor:.2g}")
