"""The `sanity` job: can the model overfit one small, fixed, class-stratified batch? (The chapter's step 2.)

Augmentation, weight decay, smoothing, class weights and clipping are off, dropout too unless asked; the lr is constant.
"""

import math
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from service.events import Event, Log, Phase, Progress, Reported, StepRecord, Stopped
from service.specs.optimizer import OptimizerSpec
from service.specs.sanity import SanitySpec
from service.states import StopReason
from worker.engine.context import RunContext
from worker.engine.data.batches import Batch, Batches
from worker.engine.kinds.sanity_verdict import EVAL_THRESHOLD, Attempt, judge
from worker.engine.runtime import precision, seeding
from worker.engine.training.checkup import check_up
from worker.engine.training.evaluate import evaluation_mode
from worker.engine.training.optimizers import DEFAULT_LR, base_lr, build_optimizer
from worker.engine.training.setup import build_model, open_dataset, plain_batches, start

EVAL_EVERY = 5
"""Steps between two looks in eval mode once it is learnt: BatchNorm's running statistics take a while to follow."""
RETRY_FACTORS = (0.1, 10.0)
"""The learning rate is the likeliest culprit: a failure is tried again with a tenth and with ten times the lr."""
FAR = 20.0
"""A learning rate this factor away from the optimizer's usual one is tried again with that, too."""


def run_sanity(spec: SanitySpec, context: RunContext) -> Iterator[Event]:
    """Yields each step and reports `checkup` and `result`."""
    yield Phase("loading")
    start(spec, context)
    dataset = open_dataset(context)
    where = precision.choose(spec, context.device)
    source = plain_batches(spec, dataset, where.device, "train", 256)
    model = build_model(spec, dataset, where, context)
    batch = fixed_batch(source, min(spec.batch_size or spec.samples, source.samples), spec.seed)
    yield Phase("checkup")
    checkup = check_up(model, batch, len(dataset.meta.classes), where)
    yield Reported("checkup", checkup)
    first = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
    yield Phase("training")
    attempts: list[Attempt] = []
    for lr in rates(spec.optimizer):
        model.load_state_dict(first)
        seeding.seed_everything(spec.seed, deterministic=spec.deterministic)
        if attempts:
            yield Log(f"trying again with lr {lr:.2e}")
        attempts.append(Attempt(lr))
        yield from _overfit(spec, context, model, batch, attempts, where)
        if context.stop() or attempts[-1].has_passed(spec.threshold):
            break
    stopped = context.stop()
    if stopped is None:
        yield Reported("result", judge(spec, attempts, checkup, batch))
    yield Stopped(stopped or StopReason.COMPLETED)


def rates(optimizer: OptimizerSpec) -> list[float]:
    """The learning rates to try: the spec's first."""
    lr, usual = base_lr(optimizer), DEFAULT_LR[optimizer.name]
    is_far = not 1 / FAR < lr / usual < FAR
    return [lr, *(lr * factor for factor in RETRY_FACTORS), *([usual] if is_far else [])]


def fixed_batch(source: Batches, count: int, seed: int) -> Batch:
    """`count` samples of the split, as evenly over the classes as the data allow."""
    chosen = stratified(source.labels_N.cpu().numpy(), count, seed)
    positions_B = torch.from_numpy(chosen).to(source.device)
    return Batch(source.source.plain(positions_B), source.labels_N[positions_B], positions_B)


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
    where: precision.Precision,
) -> Iterator[Event]:
    """Trains on the one batch until it is learnt in both modes or the steps are used up; `attempts[-1]` is filled."""
    attempt, offset = attempts[-1], sum(len(each.losses) for each in attempts)
    optimizer, scaler = build_optimizer(model, _plain(spec.optimizer, attempt.lr)), where.scaler()
    model.train()
    if not spec.dropout:
        _without_dropout(model)
    for step in range(1, spec.max_steps + 1):
        optimizer.zero_grad(set_to_none=True)
        with where.autocast():
            logits_BK = model(batch.inputs)
            loss = nn.functional.cross_entropy(logits_BK, batch.labels_B)
        attempt.losses.append(float(loss.detach()))
        attempt.accuracies.append(_hits(logits_BK, batch))
        values = {"train/loss": attempt.losses[-1], "train/accuracy": attempt.accuracy, "lr/group0": attempt.lr}
        yield StepRecord(offset + step, len(attempts), values)
        yield Progress(step / spec.max_steps, step, spec.max_steps)
        if context.stop() or not math.isfinite(attempt.losses[-1]):
            return
        if attempt.is_learnt(spec.threshold) and step % EVAL_EVERY == 0:
            attempt.eval_accuracy = _eval_accuracy(model, batch, where)
            if attempt.eval_accuracy > EVAL_THRESHOLD:
                return
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
    with torch.no_grad(), where.autocast():
        attempt.accuracies[-1] = _hits(model(batch.inputs), batch)  # after the last step
    attempt.eval_accuracy = _eval_accuracy(model, batch, where)


def _plain(optimizer: OptimizerSpec, lr: float) -> OptimizerSpec:
    """The optimizer without weight decay, at another learning rate; the backbone's keeps its ratio."""
    factor = lr / base_lr(optimizer)
    backbone_lr = None if optimizer.backbone_lr is None else optimizer.backbone_lr * factor
    return optimizer.model_copy(update={"lr": lr, "weight_decay": 0.0, "backbone_lr": backbone_lr})


def _hits(logits_BK: Tensor, batch: Batch) -> float:
    return float((logits_BK.detach().argmax(1) == batch.labels_B).float().mean())


def _eval_accuracy(model: nn.Module, batch: Batch, where: precision.Precision) -> float:
    with evaluation_mode(model), where.autocast():
        return _hits(model(batch.inputs), batch)


def _without_dropout(model: nn.Module) -> None:
    """Dropout of every kind, torchvision's StochasticDepth included, does nothing in eval mode."""
    for module in model.modules():
        if "Dropout" in type(module).__name__ or type(module).__name__ == "StochasticDepth":
            module.eval()
