"""Remedies: patches of a spec by dotted path, and the usual ones."""

import copy
from typing import Any

from pydantic import ValidationError

from service.diagnosis.record import RunRecord
from service.errors import FieldError, SpecError
from service.specs import JOB_SPEC, AnyJobSpec
from service.specs.model import MlpSpec, TorchvisionSpec

Patch = dict[str, Any]


def patched_spec(spec: AnyJobSpec, patch: Patch) -> AnyJobSpec:
    """A validated copy of `spec` with each dotted path set to its new value.

    Raises SpecError when a path leads nowhere or a value does not fit.
    """
    data = spec.model_dump(mode="json")
    for path, value in patch.items():
        _set(data, path, value)
    try:
        return JOB_SPEC.validate_python(data)
    except ValidationError as error:
        faults = [
            FieldError(pointer="/" + "/".join(map(str, each["loc"][1:])), detail=each["msg"]) for each in error.errors()
        ]
        raise SpecError("The patched spec is not valid.", faults) from error


def _set(data: dict[str, Any], path: str, value: Any) -> None:
    *parents, last = path.split(".")
    for name in parents:
        inner = data.get(name)
        if not isinstance(inner, dict):
            raise SpecError(f"The patch's path `{path}` leads nowhere.", [FieldError(pointer=f"/{path}", detail=name)])
        data = inner
    data[last] = copy.deepcopy(value)


def scaled_lr(record: RunRecord, factor: float) -> Patch:
    """The learning rate times `factor`, rounded to two digits."""
    return {"optimizer.lr": float(f"{record.lr * factor:.2g}")}


def clipping(record: RunRecord) -> Patch:
    """Clip the gradient's total norm at 1.0 where it is not clipped that tightly already."""
    clip = record.spec.clip_norm
    return {} if clip is not None and clip <= 1.0 else {"clip_norm": 1.0}


def regularised(record: RunRecord) -> Patch:
    """The chapter's means against overfitting that this spec does not use yet."""
    spec, patch = record.spec, Patch()
    if spec.early_stopping is None:
        patch["early_stopping"] = {"patience": 10, "min_delta": 0.001}
    if _dropout(record) < 0.3:
        patch["model.dropout"] = 0.5 if isinstance(spec.model, MlpSpec) else 0.4
    if _is_image(record) and spec.augment in (None, "none", []):
        patch["augment"] = [{"op": "affine", "degrees": 10, "translate": [0.1, 0.1], "shear": 5}]
    decay = {"sgd": 5e-4, "adam": 1e-3, "adamw": 5e-2}[spec.optimizer.name]
    if spec.optimizer.weight_decay is None or spec.optimizer.weight_decay < decay:
        patch["optimizer.weight_decay"] = decay
    return patch


def normalising_layers(record: RunRecord) -> Patch:
    """ReLU, He weights and batch norm, where the architecture leaves the choice."""
    model = record.spec.model
    if isinstance(model, TorchvisionSpec):
        return {}
    wanted = {"model.batch_norm": True, "model.activation": "relu", "model.init": "he"}
    have = model.model_dump()
    return {path: value for path, value in wanted.items() if have[path.removeprefix("model.")] != value}


def _dropout(record: RunRecord) -> float:
    rate = record.spec.model.dropout
    return max(rate, default=0.0) if isinstance(rate, list) else rate


def _is_image(record: RunRecord) -> bool:
    return record.profile is not None and record.profile.meta.modality == "image"
