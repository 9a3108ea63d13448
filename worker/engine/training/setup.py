"""From a spec and a packed dataset to a run that is ready for its first step."""

import torch
from torch import nn

from service.errors import DataError
from service.resolution.presets import operations
from service.resolution.validation import over_limits
from service.specs.part import FromJob
from service.specs.train import TrainSpec
from service.specs.training import AugmentedPart, TrainingPart
from worker.engine import models
from worker.engine.context import RunContext
from worker.engine.data.batches import Batches
from worker.engine.data.packed import PackedDataset
from worker.engine.runtime import compiling, seeding
from worker.engine.runtime.precision import Precision
from worker.engine.runtime.preserve import PassState
from worker.engine.training import probes
from worker.engine.training.criterion import build_criterion
from worker.engine.training.optimizer_step import OptimizerStep
from worker.engine.training.optimizers import EarlyStopping, Ema, Schedule, build_optimizer
from worker.engine.training.state import Splits, TrainingState

SMALL_SAMPLE = 32 * 32 * 3
EVALUATION_BATCH = 256
"""Samples that the layers see small are evaluated in batches of at least this many, others in the training's size."""


def open_dataset(context: RunContext) -> PackedDataset:
    """The job's dataset; raises DataError when there is none."""
    if context.dataset is None:
        raise DataError("this job needs a dataset")
    return PackedDataset.open(context.dataset)


def start(spec: TrainingPart, context: RunContext) -> None:
    """Threads and generators, before anything is built."""
    torch.set_num_threads(context.threads)
    torch.set_flush_denormal(True)  # optimizer states that fade to denormals are many times slower on a CPU
    seeding.seed_everything(spec.seed, deterministic=spec.deterministic)


def build_run(spec: TrainSpec, context: RunContext, dataset: PackedDataset | None = None) -> TrainingState:
    """Opens the data (unless it is given), builds model and optimizer, all from the spec's seed."""
    start(spec, context)
    dataset = dataset or open_dataset(context)
    precision = Precision.of(spec, context.device)
    device, batch_size = precision.device, fixed_batch_size(spec.batch_size)
    train = train_batches(spec, dataset, device, batch_size, drop_last=spec.compile)
    val = plain_batches(spec, dataset, device, "val", batch_size)
    model = build_model(spec, dataset, precision, context, channels_last=spec.channels_last)
    steps_per_epoch = -(-len(train) // spec.accumulate)
    return TrainingState(
        spec=spec,
        context=context,
        meta=dataset.meta,
        normalisation=val.normalisation,
        precision=precision,
        sizes=models.count_parameters(model),
        model=model,
        before_step=PassState(model, device),
        optimizer_step=OptimizerStep(
            forward=compiling.compiled(model, spec, device),
            criterion=build_criterion(spec.loss, train.labels_N, len(dataset.meta.classes)),
            optimizer=build_optimizer(model, spec.optimizer),
            precision=precision,
            clip_norm=spec.clip_norm,
        ),
        ema=Ema(model, spec.ema) if spec.ema else None,
        splits=Splits(
            batch_size=batch_size,
            train=train,
            val=val,
            test=lambda: plain_batches(spec, dataset, device, "test", batch_size),
            probe=probes.build_probe(train, val, spec.seed) if spec.diagnose else None,
        ),
        schedule=Schedule(spec.schedule, steps_per_epoch * spec.epochs, steps_per_epoch),
        stopping=EarlyStopping(spec.early_stopping),
        notes=[
            *precision.notes(spec),
            *compiling.notes(spec, device, max(0, len(train.labels_N) - len(train) * batch_size)),
            *models.notes(model),
        ],
    )


def fixed_batch_size(size: int | FromJob | str) -> int:
    """The batch size as a number: `from_job` is bound by the worker, `auto` by the engine, before this."""
    if isinstance(size, int):
        return size
    raise TypeError(f"batch_size {size!r} is not bound to a number")


def train_batches(
    spec: AugmentedPart, dataset: PackedDataset, device: torch.device, batch_size: int, *, drop_last: bool = False
) -> Batches:
    """Shuffled, augmented batches of the train split; raises DataError when it is empty."""
    batches = Batches(
        dataset,
        "train",
        batch_size,
        device,
        seed=spec.seed,
        shuffle=spec.shuffle,
        training=True,
        drop_last=drop_last,
        normalize=spec.preprocess.normalize,
        augment=operations(spec.augment, dataset.meta.shape),
    )
    return _not_empty(batches, "train")


def plain_batches(
    spec: TrainingPart, dataset: PackedDataset, device: torch.device, split: str, batch_size: int
) -> Batches:
    """Batches for evaluation: in order, nothing random, the same normalisation."""
    small = models.input_elements(spec.network, dataset.meta.shape) <= SMALL_SAMPLE
    size = max(batch_size, EVALUATION_BATCH) if small else batch_size
    batches = Batches(dataset, split, size, device, normalize=spec.preprocess.normalize)
    return batches if split == "test" else _not_empty(batches, split)


def _not_empty(batches: Batches, split: str) -> Batches:
    if not batches.samples:
        raise DataError(f"the dataset's {split} split is empty")
    return batches


def build_model(
    spec: TrainingPart,
    dataset: PackedDataset,
    precision: Precision,
    context: RunContext,
    *,
    channels_last: bool | None = None,
) -> nn.Module:
    """The spec's network on the device; channels-last unless the spec says otherwise.

    A training step in channels-last took 0.66-0.76 of the time on two CPU cores for `cnn` and mobilenet_v2, and the
    same time for resnet18. Raises DataError when the operator does not allow so much.
    """
    if over := over_limits(spec, context.limits, dataset.meta):
        raise DataError(f"{over[0].pointer}: {over[0].detail}")
    model = models.build(spec.network, dataset.meta.shape, len(dataset.meta.classes), context.weights)
    model.to(precision.device)
    if channels_last is not False:
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return model
