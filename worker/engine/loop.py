"""The epoch loop: train, validate, remember the best, save, stop when it is time."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from service.errors import DivergedError
from service.events import EpochRecord, Event, FileSaved, Progress
from service.states import StopReason
from worker.engine import checkpoint, probes
from worker.engine.data.batches import Batch
from worker.engine.evaluate import Evaluation, evaluate
from worker.engine.state import Best, Sums, TrainingState
from worker.engine.steps import take_step

PROGRESS_SECONDS = 0.2


def train_epochs(run: TrainingState) -> Iterator[Event]:
    """Runs epochs until the spec's number, early stopping or `context.stop`; `run.stop_reason` says which."""
    clock = _Clock()
    run.stop_reason = _ended(run)  # a resumed run may have ended already and only lack its reports
    while run.stop_reason is None:
        yield from _train_epoch(run, clock)
        if run.stop_reason is None:
            yield from _finish_epoch(run)
            run.stop_reason = _ended(run)
            if run.stop_reason is None and clock.checkpoint_due(run):
                yield save_last(run)
                yield save_best(run)
                clock.checkpoint_saved()


def _ended(run: TrainingState) -> StopReason | None:
    if run.stopping.should_stop:
        return StopReason.EARLY_STOPPED
    return StopReason.COMPLETED if run.epoch > run.spec.epochs else None


def _train_epoch(run: TrainingState, clock: "_Clock") -> Iterator[Event]:
    run.model.train()
    started, before = time.perf_counter(), run.sums.seconds
    for batches in _groups(run.train.epoch(run.epoch, run.batch), run.spec.accumulate):
        try:
            result, record = take_step(run, batches)
        except DivergedError:
            yield from _save_good_state(run)
            raise
        run.batch += len(batches)
        run.sums.loss += result.loss
        run.sums.correct += result.correct
        run.sums.samples += result.samples
        run.sums.seconds = before + time.perf_counter() - started
        yield record
        if clock.progress_due():
            yield Progress(run.step / run.total_steps, run.step, run.total_steps)
        run.stop_reason = run.context.stop()
        if run.stop_reason or clock.checkpoint_due(run):
            yield save_last(run)
            clock.checkpoint_saved()
        if run.stop_reason:
            return


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
    with weights_of(run.model, run.ema.values if run.ema else None):
        validation = evaluate(run.model, run.val, run.precision, [1])
        probed = probes.measure(run.model, run.probe, run.precision) if run.probe else {}
    record = _record(run, validation, probed)
    if record.is_best:
        weights = {name: tensor.detach().clone() for name, tensor in run.evaluated_weights().items()}
        run.best = Best(run.epoch, dict(record.val), weights)
    run.schedule.epoch_ended(validation.loss)
    run.epoch, run.batch, run.sums = run.epoch + 1, 0, Sums()
    yield record
    yield Progress(run.step / run.total_steps, run.step, run.total_steps)


def _record(run: TrainingState, validation: Evaluation, probed: dict[str, float]) -> EpochRecord:
    sums = run.sums
    train = {"loss": sums.loss / max(sums.samples, 1), "accuracy": sums.correct / max(sums.samples, 1)}
    val = {"loss": validation.loss, "accuracy": validation.accuracy}
    split, metric = run.stopping.metric.split("/")
    return EpochRecord(
        epoch=run.epoch,
        step=run.step,
        train=train,
        val=val,
        lr=run.optimizer.param_groups[0]["lr"],
        seconds=sums.seconds,
        is_best=run.stopping.epoch_ended({"train": train, "val": val}[split][metric]),
        probes=probed,
    )


@contextmanager
def weights_of(model: nn.Module, weights: Mapping[str, Tensor] | None) -> Iterator[None]:
    """The model with other weights for a while; None leaves it as it is."""
    if weights is None:
        yield
        return
    own = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
    model.load_state_dict(dict(weights))
    try:
        yield
    finally:
        model.load_state_dict(own)


def save_last(run: TrainingState) -> FileSaved:
    """Writes the resume state; the one before stays until this one is complete."""
    path = checkpoint.save(run.context.scratch / f"step-{run.step:08d}.pt", run.snapshot())
    return FileSaved("last", path.name, path, run.step, run.epoch, {})


def save_best(run: TrainingState) -> FileSaved:
    """Writes the best epoch's weights as a model file that can be downloaded while the run goes on."""
    path = checkpoint.save_model(run.context.scratch / "best.safetensors", run.best.weights, about(run))
    return FileSaved("best", path.name, path, run.step, run.best.epoch, run.best.metrics)


def about(run: TrainingState) -> dict[str, object]:
    """What it takes to use a model file: its spec, classes, input shape and normalisation."""
    return {
        "model": run.spec.model.model_dump(mode="json"),
        "classes": run.meta.classes,
        "shape": run.meta.shape,
        "modality": run.meta.modality,
        "mean": list(run.val.normalisation.mean),
        "std": list(run.val.normalisation.std),
    }


def _save_good_state(run: TrainingState) -> Iterator[Event]:
    """After a divergence: the weights are those before the bad step; a buffer that is not finite is not worth keeping."""
    if run.step and all(bool(torch.isfinite(buffer).all()) for buffer in run.model.buffers()):
        yield save_last(run)
        if run.best.weights:
            yield save_best(run)


class _Clock:
    """When progress and checkpoints are due."""

    def __init__(self) -> None:
        self._progress = 0.0
        self._saved = time.monotonic()

    def progress_due(self) -> bool:
        now = time.monotonic()
        if now - self._progress < PROGRESS_SECONDS:
            return False
        self._progress = now
        return True

    def checkpoint_due(self, run: TrainingState) -> bool:
        spec = run.spec.checkpoint
        if spec.every_steps and run.step % spec.every_steps == 0:
            return True
        return time.monotonic() - self._saved >= spec.every_seconds

    def checkpoint_saved(self) -> None:
        self._saved = time.monotonic()
