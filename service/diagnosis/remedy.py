"""Remedies: patches of a spec by dotted path, and the usual ones."""

from typing import Any

from service.catalog.hyperparameters import OPTIMIZERS
from service.diagnosis import thresholds as t
from service.diagnosis.record import RunRecord, median
from service.resolution.defaults import lowered_lr
from service.resolution.presets import operations
from service.specs.augmentation import Affine
from service.specs.model import CnnSpec, MlpSpec, TorchvisionSpec

Patch = dict[str, Any]
SLIGHT = Affine(op="affine", degrees=5, translate=(0.05, 0.05), shear=0)
"""Shifts and rotations that keep images what they are."""


def lower_lr(record: RunRecord, divisor: float) -> Patch:
    """The learning rate divided, see `lowered_lr`."""
    return {"optimizer.lr": lowered_lr(record.spec, record.lr, divisor)}


def higher_lr(record: RunRecord, factor: float = 10.0) -> Patch:
    """The learning rate times `factor`, at most the usual one (unless it is there already)."""
    usual = record.usual_lr
    return {"optimizer.lr": _rounded(min(factor * record.lr, max(usual, 10 * record.lr)))}


def default_lr_patch(record: RunRecord) -> Patch:
    """The usual learning rate, for one that is more than ten times higher."""
    usual = record.usual_lr
    return {"optimizer.lr": usual} if record.lr > 10 * usual else {}


def _rounded(lr: float) -> float:
    return float(f"{lr:.2g}")


def clipping(record: RunRecord) -> Patch:
    """Clip the gradient's total norm at 1.0 where it is not clipped that tightly already."""
    clip = record.spec.clip_norm
    return {} if clip is not None and clip <= 1.0 else {"clip_norm": 1.0}


def clip_is_choking(record: RunRecord) -> bool:
    """Whether clipping leaves next to nothing of the usual gradient."""
    clip, usual = record.spec.clip_norm, median(record.points("grad_norm/total").finite())
    return clip is not None and usual is not None and clip < t.CHOKING_CLIP * usual


def regularised(record: RunRecord) -> Patch:
    """The means against overfitting that this spec does not use yet, the cheap ones first.

    Measured on runs that learned 50 samples, or labels wrong in 40 %, by heart (development seeds, judged on 1,000
    further samples): with dropout 0.3 and no augmentation 24 of 36 runs got better, by 1.6 points on average; with
    dropout 0.2 and slight augmentation 28, by 2.4. Stronger augmentation (10 degrees, 10 %, shear) made plain networks
    worse.
    """
    spec, patch = record.spec, Patch()
    if spec.early_stopping is None:
        patch["early_stopping"] = {"patience": 20, "min_delta": 0.001}
    if dropout(record) < t.LEAST_DROPOUT:
        patch["model.dropout"] = t.LEAST_DROPOUT
    decay = t.STRONG_WEIGHT_DECAY[spec.optimizer.name]
    if spec.optimizer.weight_decay is None or spec.optimizer.weight_decay < decay:
        patch["optimizer.weight_decay"] = decay
    if spec.loss.label_smoothing == 0:
        patch["loss.label_smoothing"] = t.USUAL_SMOOTHING
    if spec.ema is None and record.epochs:
        patch["ema"] = {"decay": round(1 - 1 / max(t.LEAST_STEPS, record.epochs[0].step), 4)}
    if patch:
        patch |= _smaller_batches(record)
    return patch | _augmented(record)


def _smaller_batches(record: RunRecord) -> Patch:
    """Half the batch size where an epoch has too few steps, unless that leaves a last batch so small that batch norm
    explodes on it (2 samples after batches of 16 did).
    """
    size, samples = record.spec.batch_size, record.samples("train")
    few = bool(record.epochs) and record.epochs[0].step < t.LEAST_STEPS
    if not few or not isinstance(size, int) or size < t.SMALL_BATCH or samples is None:
        return {}
    rest = samples % (size // 2)
    return {"batch_size": size // 2} if rest == 0 or 4 * rest >= size else {}


def _augmented(record: RunRecord) -> Patch:
    is_plain = _is_image(record) and not operations(record.spec.augment)
    return {"augment": [SLIGHT.model_dump(mode="json", exclude_defaults=True)]} if is_plain else {}


def normalising_layers(record: RunRecord) -> Patch:
    """ReLU, He weights and batch norm, where the architecture leaves the choice."""
    model = record.spec.network
    if isinstance(model, TorchvisionSpec):
        return {}
    layers = {"model.batch_norm": True, "model.activation": "relu", "model.init": "he"}
    used = model.model_dump()
    return {path: value for path, value in layers.items() if used[path.removeprefix("model.")] != value}


def unrestrained(record: RunRecord) -> Patch:
    """Takes away what keeps a model from fitting: regularisation, a schedule that ends early, too few units."""
    spec, patch = record.spec, Patch()
    if dropout(record) > t.USUAL_DROPOUT:
        patch["model.dropout"] = 0.2
    if (spec.optimizer.weight_decay or 0.0) > t.LARGEST_WEIGHT_DECAY:
        patch["optimizer.weight_decay"] = OPTIMIZERS[spec.optimizer.name].weight_decay
    if operations(spec.augment) not in ((), (SLIGHT,), operations("light")):
        patch["augment"] = "none"
    if isinstance(spec.model, TorchvisionSpec) and spec.model.mode != "full":
        patch["model.mode"] = "full" if spec.model.mode == "partial" else "partial"
    if lr_is_gone(record):
        patch["schedule"] = {"name": "cosine"}
    return patch | (capacity(record) if is_small(record) else {})


def lr_is_gone(record: RunRecord) -> bool:
    """Whether the learning rate was practically 0 in half of the epochs."""
    rates = [epoch.lr for epoch in record.epochs]
    return bool(rates) and sum(rate < t.LR_GONE * record.lr for rate in rates) > len(rates) / 2


def is_small(record: RunRecord) -> bool:
    """Whether a layer is narrower than what the data may need."""
    match record.spec.model:
        case MlpSpec(hidden=hidden):
            return min(hidden, default=t.SMALL_WIDTH) < t.SMALL_WIDTH
        case CnnSpec(channels=channels, hidden=hidden):
            return min(hidden, default=t.SMALL_WIDTH) < t.SMALL_WIDTH / 2 or max(channels) < t.SMALL_WIDTH / 4
        case _:
            return False


def capacity(record: RunRecord) -> Patch:
    """A larger network of the same family; nothing where the architecture is fixed."""
    match record.spec.model:
        case MlpSpec():
            return {"model.hidden": [256, 128], "model.batch_norm": True}
        case CnnSpec(channels=channels):
            wide = {} if max(channels) >= t.SMALL_WIDTH else {"model.channels": [32, 64]}
            return wide | {"model.hidden": [128], "model.batch_norm": True}
        case _:
            return {}


def dropout(record: RunRecord) -> float:
    """The highest dropout rate of the model."""
    rate = record.spec.network.dropout
    return max(rate, default=0.0) if isinstance(rate, list) else rate


def _is_image(record: RunRecord) -> bool:
    return record.profile is not None and record.profile.meta.modality == "image"
