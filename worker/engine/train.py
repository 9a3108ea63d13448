"""The `train` job: set up, check up, train, test."""

import time
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from service.errors import DataError, OutOfMemoryError
from service.events import Event, Log, Phase, Reported, Resumed, Stopped
from service.reports.result import TrainResult
from service.specs.augmentation import operations
from service.specs.part import FromJob
from service.specs.train import TrainSpec
from service.states import StopReason
from worker.engine import checkpoint, loop, models, precision, probes, seeding
from worker.engine.checkup import check_up
from worker.engine.context import RunContext
from worker.engine.data.batches import Batches
from worker.engine.data.packed import PackedDataset
from worker.engine.evaluate import classification_report, confusion_report, evaluate
from worker.engine.optim import EarlyStopping, Ema, Schedule, build_optimizer
from worker.engine.state import TrainingState

FINISHED = frozenset({StopReason.COMPLETED, StopReason.EARLY_STOPPED})
MEMORY_SIGNS = ("out of memory", "can't allocate memory", "not enough memory", "std::bad_alloc")


def run_train(spec: TrainSpec, context: RunContext) -> Iterator[Event]:
    """Trains by `spec` on `context.dataset`; yields events and ends with `Stopped`.

    Raises DataError when spec and data do not fit, DivergedError when the loss stops being a number, OutOfMemoryError
    when the batch does not fit into memory.
    """
    started = time.perf_counter()
    try:
        yield Phase("loading")
        run = build_run(spec, context)
        yield from _check_up(run)
        yield from _resume(run)
        yield Phase("training")
        yield from loop.train_epochs(run)
        yield loop.save_last(run)
        if run.best.weights:
            yield loop.save_best(run)
        if run.stop_reason in FINISHED or run.best.weights:
            yield from _final_reports(run, started)
        yield Stopped(run.stop_reason or StopReason.COMPLETED)
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise out_of_memory(spec.batch_size) from error


def is_out_of_memory(error: BaseException) -> bool:
    """Whether torch or the allocator ran out of memory; on the CPU torch says so in a RuntimeError."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(
        sign in str(error).lower() for sign in MEMORY_SIGNS
    )


def out_of_memory(batch_size: object) -> OutOfMemoryError:
    """The error that names the batch size and the next smaller one."""
    if isinstance(batch_size, int) and batch_size > 1:
        return OutOfMemoryError(f"batch_size {batch_size} does not fit into memory; try {batch_size // 2}")
    return OutOfMemoryError(f"batch_size {batch_size} does not fit into memory; try a smaller model or smaller images")


def build_run(spec: TrainSpec, context: RunContext) -> TrainingState:
    """Opens the data, builds model and optimizer, all from the spec's seed."""
    if context.dataset is None:
        raise DataError("a train job needs a dataset")
    torch.set_num_threads(context.threads)
    seeding.seed_everything(spec.seed, deterministic=spec.deterministic)
    dataset = PackedDataset.open(context.dataset)
    where = precision.choose(spec, context.device)
    batch_size = _batch_size(spec)
    train, val = _batches(spec, dataset, where.device, batch_size)
    model = models.build(spec.model, dataset.meta.shape, len(dataset.meta.classes), context.weights)
    model.to(where.device)
    if spec.channels_last or (spec.channels_last is None and where.device.type == "cuda"):
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    steps_per_epoch = -(-len(train) // spec.accumulate)
    return TrainingState(
        spec=spec,
        context=context,
        meta=dataset.meta,
        precision=where,
        model=model,
        forward=torch.compile(model) if spec.compile else model,
        criterion=_criterion(spec, train, len(dataset.meta.classes)),
        optimizer=build_optimizer(model, spec.optimizer),
        schedule=Schedule(spec.schedule, steps_per_epoch * spec.epochs, steps_per_epoch),
        stopping=EarlyStopping(spec.early_stopping),
        scaler=where.scaler(),
        ema=Ema(model, spec.ema) if spec.ema else None,
        train=train,
        val=val,
        probe=probes.build_probe(train, val, spec.seed) if spec.diagnose else None,
        batch_size=batch_size,
    )


def _batch_size(spec: TrainSpec) -> int:
    if isinstance(spec.batch_size, int):
        return spec.batch_size
    if isinstance(spec.batch_size, FromJob):
        raise TypeError("batch_size still refers to another job; it is bound before a run starts")
    raise DataError("batch_size `auto` is found before a run starts")


def _batches(spec: TrainSpec, dataset: PackedDataset, device: torch.device, batch_size: int) -> tuple[Batches, Batches]:
    for split in ("train", "val"):
        if not len(dataset.indices(split)):
            raise DataError(f"the dataset's {split} split is empty")
    train = Batches(
        dataset,
        "train",
        batch_size,
        device,
        seed=spec.seed,
        shuffle=spec.shuffle,
        normalize=spec.preprocess.normalize,
        augment=operations(spec.augment),
        drop_last=spec.compile,
    )
    return train, _plain(spec, dataset, device, "val", batch_size)


def _plain(spec: TrainSpec, dataset: PackedDataset, device: torch.device, split: str, batch_size: int) -> Batches:
    """Batches for evaluation: in order, nothing random, the same normalisation."""
    return Batches(dataset, split, max(batch_size, 256), device, normalize=spec.preprocess.normalize)


def _criterion(spec: TrainSpec, train: Batches, classes: int) -> nn.Module:
    return nn.CrossEntropyLoss(
        weight=_class_weights(spec, train, classes), label_smoothing=spec.loss.label_smoothing
    ).to(train.device)


def _class_weights(spec: TrainSpec, train: Batches, classes: int) -> Tensor | None:
    weights = spec.loss.class_weights
    if weights is None:
        return None
    if weights == "balanced":
        counts_K = torch.bincount(train.source.labels_N, minlength=classes).float()
        return counts_K.sum() / (classes * counts_K.clamp_min(1))
    if len(weights) != classes:
        raise DataError(f"loss.class_weights has {len(weights)} values for {classes} classes")
    return torch.tensor(weights, dtype=torch.float32)


def _check_up(run: TrainingState) -> Iterator[Event]:
    yield Phase("checkup")
    batch = next(iter(run.train.epoch(1)))
    report = check_up(run.model, batch, len(run.meta.classes), run.precision)
    yield Reported("checkup", report)
    for check in report.checks:
        if not check.passed:
            yield Log(f"check-up: {check.name}: {check.detail}", "warning")


def _resume(run: TrainingState) -> Iterator[Event]:
    """Goes on from the last checkpoint; otherwise the generators start anew, whatever set-up drew from them."""
    if run.context.resume_from is None:
        seeding.seed_everything(run.spec.seed, deterministic=run.spec.deterministic)
        return
    run.restore(checkpoint.load(run.context.resume_from))
    yield Log(f"resumed from the checkpoint of step {run.step} (epoch {run.epoch})")
    yield Resumed(run.step, run.epoch, run.resume_exact)


def _final_reports(run: TrainingState, started: float) -> Iterator[Event]:
    """Val and test with the best weights, the model file, and the result."""
    yield Phase("testing")
    run.model.load_state_dict(run.best.weights)
    path = checkpoint.save_model(run.context.scratch / "model.safetensors", run.best.weights, loop.about(run))
    yield loop.FileSaved("model", path.name, path, run.step, run.best.epoch, run.best.metrics)
    dataset = PackedDataset.open(run.context.dataset or run.context.scratch)
    test: dict[str, float] = {}
    for split in ("val", "test"):
        batches = run.val if split == "val" else _plain(run.spec, dataset, run.precision.device, split, run.batch_size)
        if not batches.samples:
            continue
        found = evaluate(run.model, batches, run.precision, run.spec.top_k)
        report = classification_report(found, split, run.meta.classes)
        yield Reported(f"report:{split}", report)
        yield Reported(f"confusion:{split}", confusion_report(found, split, run.meta.classes, batches.source.indices_N))
        if split == "test":
            test = {"loss": found.loss, "accuracy": found.accuracy, "macro_f1": report.macro.f1}
    yield Reported("result", _result(run, test, time.perf_counter() - started))


def _result(run: TrainingState, test: dict[str, float], seconds: float) -> TrainResult:
    return TrainResult(
        stop_reason=run.stop_reason or StopReason.COMPLETED,
        epochs=run.epoch - 1,
        steps=run.step,
        best_epoch=run.best.epoch,
        best=run.best.metrics,
        test=test,
        parameters=models.count_parameters(run.model),
        seconds=seconds,
        samples_per_second=run.step * run.batch_size * run.spec.accumulate / max(seconds, 1e-9),
        resume="exact" if run.resume_exact and run.precision.device.type == "cpu" else "approximate",
        notes=run.notes,
    )
