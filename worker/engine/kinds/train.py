"""The `train` job: set up, check up, train, test."""

from collections.abc import Iterator

import torch
from torch._dynamo.exc import TorchDynamoException

from service.errors import RunError
from service.events import Event, Log, Phase, Reported, Resumed, Stopped
from service.reports.result import TrainResult
from service.specs.model import TorchvisionSpec
from service.specs.train import TrainSpec
from service.states import StopReason
from worker.engine.context import RunContext
from worker.engine.kinds.batch_size import choose_batch_size
from worker.engine.runtime import seeding
from worker.engine.runtime.memory import is_out_of_memory, out_of_memory
from worker.engine.training import checkpoints, loop, run_files
from worker.engine.training.checkup import check_up
from worker.engine.training.evaluate import classification_report, confusion_report, evaluate_until
from worker.engine.training.optimizers import base_lr
from worker.engine.training.setup import build_run, fixed_batch_size
from worker.engine.training.state import TrainingState

CONCLUSIVE = frozenset({StopReason.COMPLETED, StopReason.EARLY_STOPPED, StopReason.FINDING})
"""Ends of a training that call for its reports; the others may be resumed, or nobody wants them."""


def run_train(spec: TrainSpec, context: RunContext) -> Iterator[Event]:
    """Trains by `spec` on `context.dataset`; yields events and ends with `Stopped`.

    Raises DataError when spec and data do not fit, DivergedError when the loss stops being a number, OutOfMemoryError
    when the batch does not fit into memory.
    """
    try:
        yield Phase("loading")
        if spec.batch_size == "auto":
            spec = yield from choose_batch_size(spec, context)
        if spec.batch_size == "auto":
            yield Stopped(context.stop() or StopReason.CANCELLED)
            return
        run = build_run(spec, context)
        yield from check_up_run(run)
        yield from cache_prefix(run)
        if run.stop_reason is not None:
            yield Stopped(run.stop_reason)
            return
        yield from _resume(run)
        yield Phase("training")
        yield from loop.train_epochs(run)
        yield from run_files.save_state(run)
        if run.stop_reason in CONCLUSIVE and run.best.weights:
            yield from conclude(run)
        yield Stopped(run.stop_reason or StopReason.COMPLETED)
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if isinstance(error, TorchDynamoException):
            raise RunError(f"torch.compile failed: {str(error).strip()[:300]}; set `compile` to false") from error
        if not is_out_of_memory(error):
            raise
        raise out_of_memory(fixed_batch_size(spec.batch_size)) from error


def check_up_run(run: TrainingState) -> Iterator[Event]:
    """Looks at the model and its first batch before the first step."""
    yield Phase("checkup")
    batch = next(iter(run.train.epoch(1)))
    report = check_up(run.model, batch, len(run.meta.classes), run.precision)
    sizes, counts = report.parameters, run.meta.counts
    yield Log(
        f"{sizes.trainable:,} of {sizes.total:,} parameters train on {counts.get('train', 0):,} samples, "
        f"{len(run.train):,} batches of {run.batch_size} an epoch, on {run.precision.device}"
    )
    for note in run.notes:
        yield Log(note)
    yield Reported("checkup", report)
    for check in report.checks:
        if not check.passed:
            yield Log(f"check-up: {check.name}: {check.detail}", "warning")


def cache_prefix(run: TrainingState) -> Iterator[Event]:
    """Runs a frozen prefix once, if the network has one."""
    if isinstance(run.spec.model, TorchvisionSpec):
        from worker.engine.training.feature_cache import cache  # torchvision costs a second: only who asks pays

        yield from cache(run)


def _resume(run: TrainingState) -> Iterator[Event]:
    """Goes on from the last checkpoint; otherwise the generators start anew, whatever set-up drew from them."""
    if run.context.resume_from is None:
        seeding.seed_everything(run.spec.seed, deterministic=run.spec.deterministic)
        return
    run.restore(checkpoints.load(run.context.resume_from))
    yield Log(f"resumed from the checkpoint of step {run.step} (epoch {run.epoch})")
    if not run.resume_exact:
        yield Log("the resume is approximate: other threads or another device than before", "warning")
    yield Resumed(run.step, run.epoch, run.resume_exact)


def conclude(run: TrainingState) -> Iterator[Event]:
    """The model file, reports on val and test with the best weights, and the result."""
    yield run_files.save_model(run)
    yield Phase("testing")
    run.model.load_state_dict(dict(run.best.weights))
    test: dict[str, float] = {}
    for split, batches in (("val", run.val), ("test", run.test())):
        if not batches.samples:
            continue
        found = evaluate_until(lambda: _interrupted(run), run.model, batches, run.precision, run.spec.top_k)
        if found is None:
            run.stop_reason = _interrupted(run)
            return
        report = classification_report(found, split, run.meta.classes)
        yield Reported(f"report:{split}", report)
        yield Reported(f"confusion:{split}", confusion_report(found, split, run.meta.classes, batches.indices_N))
        if split == "test":
            test = {"loss": found.loss, "accuracy": found.accuracy, "macro_f1": report.macro.f1}
    yield Reported("result", _result(run, test))


def _interrupted(run: TrainingState) -> StopReason | None:
    """A reason to give up even the reports (cancelled, paused, drained)."""
    reason = run.context.stop()
    return None if reason in CONCLUSIVE else reason


def _result(run: TrainingState, test: dict[str, float]) -> TrainResult:
    seconds = run.seconds + run.sums.seconds
    samples = (run.epoch - 1) * run.train.samples + run.sums.samples
    return TrainResult(
        stop_reason=run.stop_reason or StopReason.COMPLETED,
        epochs=run.epoch - 1,
        steps=run.step,
        best_epoch=run.best.epoch,
        best=run.best.metrics,
        test=test,
        parameters=run.sizes,
        batch_size=run.batch_size,
        lr=base_lr(run.spec.optimizer),
        seconds=seconds,
        samples_per_second=samples / max(seconds, 1e-9),
        resume="exact" if run.resume_exact and run.precision.device.type == "cpu" else "approximate",
        notes=run.notes,
    )
