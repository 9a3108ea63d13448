"""The epoch loop: train, validate, remember the best, save, stop when it is time."""

import math
import time
from collections.abc import Iterator
from contextlib import nullcontext

from service.errors import DivergedError
from service.events import EpochRecord, Event
from service.specs.train import CheckpointSpec
from service.states import StopReason
from worker.engine import models
from worker.engine.data.batches import Batch
from worker.engine.runtime import preserve
from worker.engine.training import probes, run_files
from worker.engine.training.evaluate import Evaluation, evaluate_until, macro_f1
from worker.engine.training.state import Best, Sums, TrainingState
from worker.engine.training.train_step import take_step

PROGRESS_SECONDS = 0.2
"""Least time between two `Progress` events."""


def train_epochs(run: TrainingState) -> Iterator[Event]:
    """Runs epochs until the spec's number, early stopping or `context.stop`; `run.stop_reason` says which."""
    clock = Clock(run.spec.checkpoint)
    run.stop_reason = _ended(run)  # a resumed run may have ended already and only lack its reports
    while run.stop_reason is None:
        yield from _train_epoch(run, clock)
        if run.stop_reason is None:
            yield from _finish_epoch(run)
        if run.stop_reason is None and clock.checkpoint_due(run.step):
            yield from run_files.save_state(run)
            clock.checkpoint_saved()


def _ended(run: TrainingState) -> StopReason | None:
    if run.stopping.should_stop:
        return StopReason.EARLY_STOPPED
    return StopReason.COMPLETED if run.epoch > run.spec.epochs else None


def _train_epoch(run: TrainingState, clock: "Clock") -> Iterator[Event]:
    models.begin_epoch(run.model, run.epoch)
    started, before = time.perf_counter(), run.sums.seconds
    for batches in _groups(run.splits.train.epoch(run.epoch, run.batch), run.spec.accumulate):
        outcome = take_step(run, batches)
        yield outcome.record
        if outcome.error:
            yield from run_files.save_state(run)  # the step was taken back: this is the last good state
            raise outcome.error
        run.batch += len(batches)
        run.sums.add(outcome.seen)
        run.sums.seconds = before + time.perf_counter() - started
        if clock.progress_due():
            yield run.progress()
        run.stop_reason = run.context.stop()
        if run.stop_reason:
            return
        if run.batch < len(run.splits.train) and clock.checkpoint_due(run.step):
            yield from run_files.save_state(run)
            clock.checkpoint_saved()


def _groups(batches: Iterator[Batch], size: int) -> Iterator[list[Batch]]:
    """Lists of `size` micro-batches; the last list may be shorter."""
    group: list[Batch] = []
    for batch in batches:
        group.append(batch)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group


def _finish_epoch(run: TrainingState) -> Iterator[Event]:
    with preserve.weights(run.model, run.ema.values) if run.ema else nullcontext():
        validation = evaluate_until(run.context.stop, run.model, run.splits.val, run.precision, run.spec.top_k)
        if validation is None:  # a resumed run validates this epoch anew
            run.stop_reason = run.context.stop()
            return
        probed = probes.measure(run.model, run.splits.probe, run.precision) if run.splits.probe else {}
    if not math.isfinite(validation.loss):
        yield from run_files.save_state(run)
        raise _divergence(run, validation)
    record = _record(run, validation, probed)
    if record.is_best:
        weights = {name: tensor.detach().clone() for name, tensor in run.evaluated_weights().items()}
        run.best = Best(run.epoch, run.step, dict(record.val), weights)
    run.schedule.epoch_ended(validation.loss)
    run.seconds += run.sums.seconds
    run.epoch, run.batch, run.sums = run.epoch + 1, 0, Sums()
    run.stop_reason = _ended(run)
    yield record
    yield run.progress()


def _divergence(run: TrainingState, validation: Evaluation) -> DivergedError:
    return DivergedError(
        f"the loss on val is {validation.loss} after epoch {run.epoch} (step {run.step}) while the training loss was "
        f"finite. Try `optimizer.lr` {run.calmer_lr:g}; if it persists, look for val samples that are not finite."
    )


def _record(run: TrainingState, validation: Evaluation, probed: dict[str, float]) -> EpochRecord:
    train = {"loss": run.sums.mean_loss, "accuracy": run.sums.accuracy}
    val = {
        "loss": validation.loss,
        "accuracy": validation.accuracy,
        "macro_f1": macro_f1(validation, len(run.meta.classes)),
    } | {f"top{k}": share for k, share in validation.top_k.items() if 1 < k < len(run.meta.classes)}
    split, metric = run.stopping.metric.split("/")
    return EpochRecord(
        epoch=run.epoch,
        step=run.step,
        train=train,
        val=val,
        lr=run.lr,
        seconds=run.sums.seconds,
        is_best=run.stopping.epoch_ended({"train": train, "val": val}[split][metric]),
        probes=probed,
    )


class Clock:
    """When progress and checkpoints are due; nothing that is computed depends on it."""

    def __init__(self, spec: CheckpointSpec) -> None:
        self.spec = spec
        self._progress = 0.0
        self._saved = time.monotonic()

    def progress_due(self) -> bool:
        """Whether it is time to say how far the run is; asking counts as saying it."""
        now = time.monotonic()
        if now - self._progress < PROGRESS_SECONDS:
            return False
        self._progress = now
        return True

    def checkpoint_due(self, step: int) -> bool:
        """Whether the state after optimizer step `step` should be saved."""
        if self.spec.every_steps and step % self.spec.every_steps == 0:
            return True
        return time.monotonic() - self._saved >= self.spec.every_seconds

    def checkpoint_saved(self) -> None:
        """Starts the wait for the next checkpoint."""
        self._saved = time.monotonic()
