"""What the open fields of a spec become: defaults that depend on other fields, and what is usual for a network."""

from collections.abc import Iterable
from typing import Literal, TypeVar

from service.catalog import architectures, pretraining
from service.catalog.hyperparameters import OPTIMIZERS, TRANSFORMER_SHARE
from service.reports.dataset import DatasetMeta
from service.specs.model import CnnSpec, MlpSpec, ModelSpec, TorchvisionSpec
from service.specs.optimizer import OptimizerSpec
from service.specs.part import FromJob
from service.specs.sanity import SanitySpec
from service.specs.train import EarlyStoppingSpec, TrainFields
from service.specs.training import JobCommon, TrainingPart
from service.specs.tune import SearchFields

Spec = TypeVar("Spec", bound=JobCommon)
OF_ANY_FAMILY = frozenset({"family", "dropout", "batch_norm", "activation", "init"})
"""Fields of a model that fit pictures and tables alike."""


def filled(spec: Spec, data: DatasetMeta | None = None) -> Spec:
    """The spec with every default that depends on other fields, or on the data; these stay open while it is None."""
    return spec.model_copy(update=_filled_fields(spec, data))


def default_model(data: DatasetMeta | None, searched: Iterable[str] = ()) -> ModelSpec | None:
    """The network where a spec names none: of the family whose fields a search names, else what suits the data.

    None while the data are not known and nothing else decides.
    """
    names = {path.split(".")[1] for path in searched if path.startswith("model.")}
    if names - OF_ANY_FAMILY:
        for model in (MlpSpec(), CnnSpec(), TorchvisionSpec(family="torchvision")):
            if names <= type(model).model_fields.keys():
                return model
    if data is None:
        return None
    return CnnSpec() if data.modality == "image" else MlpSpec()


def filled_optimizer(optimizer: OptimizerSpec, model: ModelSpec | None) -> OptimizerSpec:
    """The optimizer with what is usual for it on this network."""
    lr = usual_lr(optimizer, model) if optimizer.lr is None else optimizer.lr
    backbone_lr, decay = optimizer.backbone_lr, optimizer.layer_decay
    if isinstance(model, TorchvisionSpec):
        is_pretrained = model.weights is not None
        if backbone_lr is None and not isinstance(lr, FromJob):
            backbone_lr = lr * pretraining.BACKBONE_SHARE if is_pretrained else lr
        if decay is None:
            is_decayed = is_pretrained and model.arch.startswith(pretraining.DECAYED_FAMILIES)
            decay = pretraining.LAYER_DECAY if is_decayed else 1.0
    weight_decay = optimizer.weight_decay
    if weight_decay is None:
        weight_decay = OPTIMIZERS[optimizer.name].weight_decay
    changes = {"lr": lr, "weight_decay": weight_decay, "backbone_lr": backbone_lr, "layer_decay": decay}
    return optimizer.model_copy(update=changes)


def usual_lr(optimizer: OptimizerSpec, model: ModelSpec | None) -> float:
    """The usual learning rate of an optimizer on a network; of a pretrained one, its head's."""
    return OPTIMIZERS[optimizer.name].lr * _lr_share(model)


def usual_lr_range(optimizer: OptimizerSpec, model: ModelSpec | None) -> tuple[float, float]:
    """From where to where a learning rate draws no warning."""
    low, high = OPTIMIZERS[optimizer.name].lr_range
    return low * _lr_share(model), high * _lr_share(model)


def lowered_lr(part: TrainingPart, lr: float, divisor: float) -> float:
    """The learning rate divided; where even that is far above what is usual for the training, the usual one."""
    usual = usual_lr(part.optimizer, part.model)
    return float(f"{usual if lr / divisor > 3 * usual else lr / divisor:.2g}")


def better(stopping: EarlyStoppingSpec) -> Literal["min", "max"]:
    """Whether smaller or larger values of the metric are better."""
    return stopping.mode or ("max" if stopping.metric.endswith("accuracy") else "min")


def normalisation(meta: DatasetMeta, normalize: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """What `preprocess.normalize` subtracts and divides by for each channel or feature; a constant is only centred."""
    count = meta.shape[-1]
    if normalize == "none":
        return (0.0,) * count, (1.0,) * count
    if normalize == "imagenet" and meta.modality == "image":
        return pretraining.imagenet_normalisation(count)
    return tuple(meta.mean), tuple(std if std > 1e-8 else 1.0 for std in meta.std)


def _filled_fields(spec: JobCommon, data: DatasetMeta | None) -> dict[str, object]:
    fields: dict[str, object] = {}
    if isinstance(spec, SearchFields):
        fields["train"] = _filled_base(spec, data)
    if isinstance(spec, TrainingPart):
        fields["model"] = model = spec.model or default_model(data)
        fields["optimizer"] = filled_optimizer(spec.optimizer, model)
    if isinstance(spec, TrainFields) and (stopping := spec.early_stopping) is not None:
        fields["early_stopping"] = stopping.model_copy(update={"mode": better(stopping)})
    if isinstance(spec, SanitySpec):
        fields["samples"] = fields["batch_size"] = spec.batch_size or spec.samples
    return fields


def _filled_base(spec: SearchFields, data: DatasetMeta | None) -> TrainFields:
    """The base of a search. What depends on a searched value stays open: each trial fills it for itself."""
    model = spec.train.model or default_model(data, spec.search_space)
    base = filled(spec.train.model_copy(update={"model": model}), data)
    roots = {path.split(".")[0] for path in spec.search_space}
    return base.model_copy(update={"optimizer": spec.train.optimizer}) if roots & {"optimizer", "model"} else base


def _lr_share(model: ModelSpec | None) -> float:
    known = architectures.architecture(model.arch) if isinstance(model, TorchvisionSpec) else None
    return TRANSFORMER_SHARE if known and known.is_transformer else 1.0
