"""The `sanity` job: can the model overfit one small, fixed, class-stratified batch?

This is a check of the whole set-up before a long training (A. Karpathy, A Recipe for Training Neural Networks, 2019).
Augmentation, weight decay, smoothing, class weights and clipping are off, dropout too unless asked; the lr is constant.
"""

import math
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from service.events import Event, Log, Phase, Progress, Reported, StepRecord, Stopped
from service.reports.names import ReportName
from service.resolution.defaults import usual_lr
from service.specs.optimizer import OptimizerSpec
from service.specs.sanity import SanitySpec
from service.states import StopReason
from worker.engine.context import RunContext
from worker.engine.data.batches import Batch, Batches
from worker.engine.kinds.sanity_verdict import EVAL_THRESHOLD, Attempt, judge
from worker.engine.runtime import preserve, seeding
from worker.engine.runtime.precision import Precision
from worker.engine.training.checkup import check_up
from worker.engine.training.evaluate import evaluation_mode
from worker.engine.training.optimizer_step import OptimizerStep
from worker.engine.training.optimizers import base_lr, build_optimizer
from worker.engine.training.setup import build_model, open_dataset, plain_batches, start

EVAL_EVERY = 5
"""Steps between two looks in eval mode once it is learned: BatchNorm's running statistics take a while to follow."""
RETRY_FACTORS = (0.1, 10.0)
"""The learning rate is the likeliest culprit: a failure is tried again with a tenth and with ten times the lr."""
FAR = 20.0
"""A learning rate this factor away from the optimizer's usual one is tried again with that, too."""


def run_sanity(spec: SanitySpec, context: RunContext) -> Iterator[Event]:
    """Yields each step and reports `checkup` and `result`."""
    yield Phase("loading")
    start(spec, context)
    dataset = open_dataset(context)
    precision = Precision.of(spec, context.device)
    source = plain_batches(spec, dataset, precision.device, "train", 256)
    model = build_model(spec, dataset, precision, context)
    batch = fixed_batch(source, min(spec.batch_size or spec.samples, source.samples), spec.seed)
    yield Phase("checkup")
    checkup = check_up(model, batch, len(dataset.meta.classes), precision)
    yield Reported(ReportName.CHECKUP, checkup)
    yield Phase("training")
    attempts: list[Attempt] = []
    for lr in rates(spec):
        seeding.seed_everything(spec.seed, deterministic=spec.deterministic)
        if attempts:
            yield Log(f"trying again with lr {lr:.2e}")
        attempts.append(Attempt(lr))
        with preserve.everything(model):
            yield from _overfit(spec, context, model, batch, attempts, precision)
        if context.stop() or attempts[-1].has_passed(spec.threshold):
            break
    stopped = context.stop()
    if stopped is None:
        yield Reported(ReportName.RESULT, judge(spec, attempts, checkup, batch))
    yield Stopped(stopped or StopReason.COMPLETED)


def rates(spec: SanitySpec) -> list[float]:
    """The learning rates to try: the spec's first."""
    lr, usual = base_lr(spec.optimizer), usual_lr(spec.optimizer, spec.model)
    is_far = not 1 / FAR < lr / usual < FAR
    return [lr, *(lr * factor for factor in RETRY_FACTORS), *([usual] if is_far else [])]


def fixed_batch(source: Batches, count: int, seed: int) -> Batch:
    """`count` samples of the split, as evenly over the classes as the data allow."""
    chosen = stratified(source.labels_N.cpu().numpy(), count, seed)
    positions_B = torch.from_numpy(chosen).to(source.device)
    return Batch(source.source.read(positions_B), source.labels_N[positions_B], positions_B)


def stratified(labels_N: NDArray[np.int64], count: int, seed: int) -> NDArray[np.int64]:
    """Positions drawn class by class in turn until `count` are together."""
    order = np.random.default_rng(seed).permutation(len(labels_N))
    rank_N = np.zeros(len(labels_N), np.int64)
    for label in np.unique(labels_N):
        members = order[labels_N[order] == label]
        rank_N[members] = np.arange(len(members))
    return np.sort(order[np.argsort(rank_N[order], kind="stable")][:count])


def _overfit(
    spec: SanitySpec,
    context: RunContext,
    model: nn.Module,
    batch: Batch,
    attempts: list[Attempt],
    precision: Precision,
) -> Iterator[Event]:
    """Trains on the one batch until it is learned in both modes or the steps are used up; `attempts[-1]` is filled."""
    attempt, steps_before = attempts[-1], sum(len(earlier.losses) for earlier in attempts)
    optimizer = build_optimizer(model, _plain(spec.optimizer, attempt.lr))
    optimizer_step = OptimizerStep(model, nn.CrossEntropyLoss(), optimizer, precision)
    model.train()
    if not spec.dropout:
        _without_dropout(model)
    for step in range(1, spec.max_steps + 1):
        seen = optimizer_step.backward([batch])
        attempt.losses.append(seen.loss)
        attempt.accuracies.append(seen.accuracy)
        values = {"train/loss": seen.loss, "train/accuracy": seen.accuracy, "lr/group0": attempt.lr}
        yield StepRecord(steps_before + step, len(attempts), values)
        yield Progress(step / spec.max_steps, step, spec.max_steps)
        if context.stop() or not math.isfinite(seen.loss):
            return
        if attempt.is_learned(spec.threshold) and step % EVAL_EVERY == 0:
            attempt.eval_accuracy = _eval_accuracy(model, batch, precision)
            if attempt.eval_accuracy > EVAL_THRESHOLD:
                return
        optimizer_step.update()
    with torch.no_grad():
        attempt.accuracies[-1] = _accuracy(model, batch, precision)  # after the last step
    attempt.eval_accuracy = _eval_accuracy(model, batch, precision)


def _plain(optimizer: OptimizerSpec, lr: float) -> OptimizerSpec:
    """The optimizer without weight decay, at another learning rate; the backbone's keeps its ratio."""
    factor = lr / base_lr(optimizer)
    backbone_lr = None if optimizer.backbone_lr is None else optimizer.backbone_lr * factor
    return optimizer.model_copy(update={"lr": lr, "weight_decay": 0.0, "backbone_lr": backbone_lr})


def _accuracy(model: nn.Module, batch: Batch, precision: Precision) -> float:
    with precision.autocast():
        hits = (model(batch.inputs).argmax(1) == batch.labels_B).sum()
    return int(hits) / len(batch.labels_B)


def _eval_accuracy(model: nn.Module, batch: Batch, precision: Precision) -> float:
    with evaluation_mode(model):
        return _accuracy(model, batch, precision)


def _without_dropout(model: nn.Module) -> None:
    """Dropout of every kind, torchvision's StochasticDepth included, does nothing in eval mode."""
    for module in model.modules():
        if "Dropout" in type(module).__name__ or type(module).__name__ == "StochasticDepth":
            module.eval()
