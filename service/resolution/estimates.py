"""What a job will cost before it runs: parameters exactly for our own models, memory, time and disk roughly."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, prod

from service.catalog import architectures
from service.catalog.hyperparameters import BATCH_SIZE, OPTIMIZERS
from service.reports.dataset import DatasetMeta
from service.reports.resolution import Estimates
from service.reports.result import Parameters
from service.specs import AnyJobSpec
from service.specs.batch_size import BatchSizeSpec
from service.specs.lr_find import LrFindSpec
from service.specs.model import CnnSpec, MlpSpec, ModelSpec, TorchvisionSpec
from service.specs.sanity import SanitySpec
from service.specs.train import TrainFields
from service.specs.training import TrainingPart
from service.specs.tune import TuneSpec

FLOAT_BYTES = 4
# Sustained multiply-accumulates per second, forward and backward, seen on two CPU cores and on one current GPU.
CPU_MACS_PER_SECOND = 2.5e10
GPU_MACS_PER_SECOND = 1.5e13
# A step costs at least this, however small the model is.
CPU_STEP_SECONDS = 8e-4
GPU_STEP_SECONDS = 1.5e-3
# Python, torch and the buffers of its allocator.
PROCESS_BYTES = 400 * 2**20
# Of a network's parameters, roughly what its last stage holds.
LAST_STAGE_SHARE = 0.6


@dataclass(frozen=True)
class Cost:
    """One sample through a network: values kept for the backward pass, and multiply-accumulates forward."""

    activations: float
    macs: float


def estimate(spec: AnyJobSpec, part: TrainingPart, data: DatasetMeta) -> Estimates:
    """The costs of a resolved spec on a known dataset."""
    sizes = parameters(part.network, data.shape, len(data.classes))
    cost = sample_cost(part.network, data.shape, len(data.classes))
    batch, steps = _batch(part), _steps(spec, part, data.counts.get("train", 0))
    states = (2 + OPTIMIZERS[part.optimizer.name].states) * sizes.trainable + sizes.total
    sample_bytes = prod(data.shape) * (1 if data.modality == "image" else FLOAT_BYTES)
    resident = sum(data.counts.values()) * sample_bytes
    memory = PROCESS_BYTES + FLOAT_BYTES * (states + 2 * batch * cost.activations) + resident
    checkpoints = 3 if isinstance(part, TrainFields) else 0
    disk = FLOAT_BYTES * (checkpoints * (states - sizes.trainable) + sizes.total) + steps * 400
    work = steps * batch * cost.macs * _backward_factor(part.network)
    return Estimates(
        parameters=sizes,
        steps=steps,
        memory_bytes=int(memory),
        disk_bytes=int(disk),
        cpu_seconds=round(work / CPU_MACS_PER_SECOND + steps * CPU_STEP_SECONDS, 1),
        gpu_seconds=round(work / GPU_MACS_PER_SECOND + steps * GPU_STEP_SECONDS, 1),
        basis=f"{data.counts.get('train', 0)} training samples of shape {data.shape}, batches of {batch}",
    )


def parameters(model: ModelSpec, shape: Sequence[int], classes: int) -> Parameters:
    """Parameters of a model for samples of `shape` ([height, width, channels] or [features])."""
    match model:
        case MlpSpec():
            total = _dense([prod(shape), *model.hidden], classes, model.batch_norm)
            return Parameters(total=total, trainable=total)
        case CnnSpec():
            total = _cnn(model, shape, classes)
            return Parameters(total=total, trainable=total)
        case TorchvisionSpec():
            return _torchvision(model, classes)


def sample_cost(model: ModelSpec, shape: Sequence[int], classes: int) -> Cost:
    """What one sample of `shape` costs in a forward pass."""
    match model:
        case MlpSpec():
            widths = [prod(shape), *model.hidden, classes]
            return Cost(3 * sum(widths), sum(a * b for a, b in pairwise(widths)))
        case CnnSpec():
            return _cnn_cost(model, shape, classes)
        case TorchvisionSpec():
            known = architectures.architecture(model.arch)
            assert known is not None, "validation lets no unknown architecture pass"
            height, width = known.input_size(model.image_size, *shape[:2])
            scale = height * width / known.size**2
            return Cost(known.activations_m * 1e6 * scale, known.gmacs * 1e9 * scale)


def _dense(widths: Sequence[int], classes: int, batch_norm: bool) -> int:
    # A hidden layer has a bias, or a BatchNorm's scale and shift in its place; the output layer has a bias.
    extra = 2 if batch_norm else 1
    hidden = sum(inputs * outputs + extra * outputs for inputs, outputs in pairwise(widths))
    return hidden + (widths[-1] + 1) * classes


def _stages(model: CnnSpec, shape: Sequence[int]) -> list[tuple[int, int, int, int]]:
    """(input channels, output channels, height, width) of every convolution, and of the features last."""
    height, width, channels = shape
    convolutions = []
    for out in model.channels:
        for _ in range(model.convs_per_stage):
            convolutions.append((channels, out, height, width))
            channels = out
        height, width = (max(1, side // 2) for side in (height, width))
    return [*convolutions, (channels, channels, height, width)]


def _cnn(model: CnnSpec, shape: Sequence[int], classes: int) -> int:
    *convolutions, (_, channels, height, width) = _stages(model, shape)
    taps = model.kernel_size**2
    per_channel = 2 if model.batch_norm else 1
    convolved = sum(taps * inputs * outputs + per_channel * outputs for inputs, outputs, _, _ in convolutions)
    return convolved + _dense([channels * height * width, *model.hidden], classes, model.batch_norm)


def _cnn_cost(model: CnnSpec, shape: Sequence[int], classes: int) -> Cost:
    *convolutions, (_, channels, height, width) = _stages(model, shape)
    widths = [channels * height * width, *model.hidden, classes]
    macs = sum(model.kernel_size**2 * i * o * h * w for i, o, h, w in convolutions)
    macs += sum(a * b for a, b in pairwise(widths))
    return Cost(3 * sum(o * h * w for _, o, h, w in convolutions) + 3 * sum(widths), macs)


def _torchvision(model: TorchvisionSpec, classes: int) -> Parameters:
    known = architectures.architecture(model.arch)
    assert known is not None, "validation lets no unknown architecture pass"
    head = (known.features + 1) * classes
    trained = {"feature_extraction": 0.0, "partial": LAST_STAGE_SHARE, "full": 1.0}[model.mode]
    return Parameters(
        total=known.backbone_parameters + head, trainable=head + round(known.backbone_parameters * trained)
    )


def _backward_factor(model: ModelSpec) -> float:
    """Forward and backward cost three forwards; a frozen, cached backbone costs a small share of one an epoch."""
    if isinstance(model, TorchvisionSpec) and model.mode != "full":
        return 0.2 if model.cache_frozen else 1.3
    return 3.0


def _batch(part: TrainingPart) -> int:
    size = getattr(part, "batch_size", None)
    if isinstance(part, BatchSizeSpec):
        return max(part.candidates)
    return size if isinstance(size, int) else BATCH_SIZE


def _steps(spec: AnyJobSpec, part: TrainingPart, samples: int) -> int:
    match part:
        case LrFindSpec():
            return part.num_steps
        case SanitySpec():
            return part.max_steps
        case TrainFields():
            trials = spec.n_trials if isinstance(spec, TuneSpec) else 1
            return trials * part.epochs * ceil(samples / _batch(part))
        case BatchSizeSpec():
            return 10 * len(part.candidates)
        case _:
            return 0
