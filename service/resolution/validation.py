"""What a spec may not say although every field by itself is valid: combinations, unknown names, server limits."""

from collections.abc import Iterator
from dataclasses import dataclass

from service.catalog import architectures
from service.errors import FieldError, SpecError, cut, json_pointer
from service.reports.dataset import DatasetMeta
from service.resolution.estimates import parameters
from service.resolution.patches import patched_spec
from service.resolution.presets import operations
from service.specs import AnyJobSpec
from service.specs.model import CnnSpec, MlpSpec, TorchvisionSpec
from service.specs.train import TrainFields
from service.specs.training import AugmentedPart, TrainingPart
from service.specs.tune import CategoricalDimension, Dimension, FloatDimension, IntDimension, LayersDimension, TuneSpec

UNSEARCHABLE: tuple[str, ...] = ("dataset", "name", "labels", "priority", "requires", "limits")


@dataclass(frozen=True)
class Limits:
    """What the operator allows."""

    max_epochs: int = 100_000
    max_parameters: int = 2_000_000_000


def refuse(
    spec: AnyJobSpec, part: TrainingPart, prefix: str, limits: Limits, data: DatasetMeta | None
) -> list[FieldError]:
    """Every reason why this spec can never run; `part` lies at `prefix` of it."""
    errors = [*_model(part), *_batch(part), *_optimizer(part), *_epochs(part, limits)]
    if data is not None:
        errors += _data(part, data)
        errors += [] if errors else _size(part, limits, data)
    errors = [FieldError(pointer=prefix + error.pointer, detail=error.detail) for error in errors]
    return [*errors, *_search_space(spec)] if isinstance(spec, TuneSpec) else errors


def over_limits(part: TrainingPart, limits: Limits, data: DatasetMeta) -> list[FieldError]:
    """What the operator does not allow of a training, of which more is known in the worker than at submission."""
    is_unfit = any([*_model(part), *_data(part, data)])
    return [*_epochs(part, limits), *([] if is_unfit else _size(part, limits, data))]


def _model(part: TrainingPart) -> Iterator[FieldError]:
    match part.model:
        case MlpSpec(hidden=hidden, dropout=list() as rates) | CnnSpec(hidden=hidden, dropout=list() as rates):
            if len(rates) != len(hidden):
                yield FieldError(
                    pointer="/model/dropout",
                    detail=f"{len(rates)} rates for {len(hidden)} hidden layers: give one each",
                )
        case TorchvisionSpec() as model:
            yield from _torchvision(model)
        case _:
            pass


def _batch(part: TrainingPart) -> Iterator[FieldError]:
    """Layers with batch norm on single numbers cannot train on one sample; convolutions mostly can."""
    model = part.model or MlpSpec()
    has_norm = isinstance(model, MlpSpec | CnnSpec) and model.batch_norm and model.hidden
    if has_norm and getattr(part, "batch_size", None) == 1:
        yield FieldError(
            pointer="/batch_size", detail="batch norm needs at least 2 samples: use more, or `batch_norm: false`"
        )


def _torchvision(model: TorchvisionSpec) -> Iterator[FieldError]:
    known = architectures.architecture(model.arch)
    if known is None:
        near = architectures.nearest_architecture(model.arch)
        hint = f"; did you mean `{near}`?" if near else "; GET /v1/architectures lists them"
        yield FieldError(pointer="/model/arch", detail=f"no architecture is called `{model.arch}`{hint}")
    elif isinstance(model.weights, str) and model.weights not in ("DEFAULT", *known.weights):
        names = ", ".join(known.weights)
        yield FieldError(
            pointer="/model/weights",
            detail=f"{model.arch} has no official weights `{model.weights}`; there are: {names}",
        )
    elif model.image_size is not None and model.image_size < known.min_size:
        yield FieldError(
            pointer="/model/image_size", detail=f"{model.arch} needs images of at least {known.min_size} pixels"
        )
    if model.mode != "full" and model.weights is None:
        yield FieldError(
            pointer="/model/mode",
            detail=f"`{model.mode}` freezes layers, and without `weights` they are random: give weights or use `full`",
        )
    if model.head_epochs and model.weights is None:
        yield FieldError(pointer="/model/head_epochs", detail="training the head alone first needs `weights`")


def _optimizer(part: TrainingPart) -> Iterator[FieldError]:
    optimizer = part.optimizer
    if optimizer.nesterov and (optimizer.name != "sgd" or optimizer.momentum == 0):
        yield FieldError(pointer="/optimizer/nesterov", detail="Nesterov momentum needs sgd with momentum above 0")


def _epochs(part: TrainingPart, limits: Limits) -> Iterator[FieldError]:
    if isinstance(part, TrainFields) and part.epochs > limits.max_epochs:
        yield FieldError(pointer="/epochs", detail=f"this server allows at most {limits.max_epochs} epochs")


def _size(part: TrainingPart, limits: Limits, data: DatasetMeta) -> Iterator[FieldError]:
    total = parameters(part.network, data.shape, len(data.classes)).total
    if total > limits.max_parameters:
        yield FieldError(
            pointer="/model", detail=f"{total:,} parameters; this server allows at most {limits.max_parameters:,}"
        )


def _data(part: TrainingPart, data: DatasetMeta) -> Iterator[FieldError]:
    if data.modality == "features" and not isinstance(part.network, MlpSpec):
        yield FieldError(
            pointer="/model/family",
            detail=f"`{part.network.family}` needs images, and this dataset has features: use `mlp`, or "
            "import the pictures themselves (files, or an npz whose `X` has the shape N x H x W)",
        )
    weights = part.loss.class_weights
    if isinstance(weights, list) and len(weights) != len(data.classes):
        yield FieldError(
            pointer="/loss/class_weights",
            detail=f"{len(weights)} weights for {len(data.classes)} classes: give one each",
        )
    if isinstance(weights, list) and not any(weights):
        yield FieldError(pointer="/loss/class_weights", detail="all weights are 0: no sample would count")
    if data.modality == "features" and isinstance(part, AugmentedPart):
        ops = [op.op for op in operations(part.augment) if op.op not in ("mixup", "cutmix")]
        if ops:
            yield FieldError(pointer="/augment", detail=f"`{ops[0]}` changes images, and this dataset has features")


def _search_space(spec: TuneSpec) -> Iterator[FieldError]:
    """Each path must exist in a train spec, and the ends of each range must be valid there."""
    numbers = sum(isinstance(dimension, FloatDimension | IntDimension) for dimension in spec.search_space.values())
    if spec.sampler == "cmaes" and numbers < 2:
        detail = "`cmaes` searches over two numbers or more, and this space has fewer: use `auto`, `tpe` or `grid`"
        yield FieldError(pointer="/sampler", detail=detail)
    for path, dimension in spec.search_space.items():
        pointer = json_pointer(("search_space", path))
        if path in UNSEARCHABLE:
            yield FieldError(pointer=pointer, detail=f"`{path}` is the same for all trials of a search")
            continue
        if outer := next((other for other in spec.search_space if path.startswith(f"{other}.")), None):
            yield FieldError(pointer=pointer, detail=f"`{outer}` is searched too and would replace it: leave one out")
            continue
        reasons = (_reason(spec.train, path, value) for value in _extremes(dimension))
        if reason := next((reason for reason in reasons if reason), None):
            yield FieldError(pointer=pointer, detail=reason)


def _reason(base: TrainFields, path: str, value: object) -> str | None:
    """Why `value` cannot stand at `path`, if so."""
    try:
        part = patched_spec(base, {path: value})
    except SpecError as error:
        reason = error.errors[0].detail
        return reason if reason.startswith("no field") else f"{cut(repr(value))} is not valid there: {reason}"
    before = {error.detail for error in _rules(base)}
    new = [error for error in _rules(part) if error.detail not in before]
    return f"{cut(repr(value))} is not valid there: {new[0].detail}" if new else None


def _rules(part: TrainFields) -> list[FieldError]:
    return [*_model(part), *_batch(part), *_optimizer(part)]


def _extremes(dimension: Dimension) -> list[object]:
    match dimension:
        case CategoricalDimension(choices=choices):
            return list(choices)
        case LayersDimension(depth=depth, width=width):
            return [[width[0]] * depth[0], [width[1]] * depth[1]]
        case _:
            return [dimension.low, dimension.high]
