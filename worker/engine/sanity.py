"""The `sanity` job: can the model overfit one small, fixed, class-stratified batch? (The chapter's step 2.)

Augmentation, weight decay, smoothing, class weights and clipping are off, dropout too unless asked; the lr is constant.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from service.events import Event, Log, Phase, Progress, Reported, StepRecord, Stopped
from service.reports.result import CheckupReport, SanityReport
from service.specs.sanity import SanitySpec
from service.states import StopReason
from worker.engine import precision, seeding
from worker.engine.checkup import check_up
from worker.engine.context import RunContext
from worker.engine.data.batches import Batch, Batches
from worker.engine.evaluate import evaluation_mode
from worker.engine.optim import base_lr, build_optimizer
from worker.engine.setup import build_model, open_dataset, plain_batches, start

EVAL_THRESHOLD = 0.90
RETRY_FACTORS = (1.0, 0.1, 10.0)
"""The learning rate is the likeliest culprit: a failure is tried again with a tenth and with ten times the lr."""


@dataclass
class Attempt:
    """One try with one learning rate."""

    lr: float
    losses: list[float] = field(default_factory=list)
    accuracies: list[float] = field(default_factory=list)
    eval_accuracy: float = 0.0

    @property
    def accuracy(self) -> float:
        """After the last step, in train mode."""
        return self.accuracies[-1] if self.accuracies else 0.0


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
    for factor in RETRY_FACTORS:
        model.load_state_dict(first)
        seeding.seed_everything(spec.seed, deterministic=spec.deterministic)
        attempts.append(Attempt(base_lr(spec.optimizer) * factor))
        if factor != 1.0:
            yield Log(f"trying again with lr {attempts[-1].lr:.2e}")
        yield from _overfit(spec, context, model, batch, attempts, where)
        if context.stop() or _passed(spec, attempts[-1]):
            break
    stopped = context.stop()
    if stopped is None:
        yield Reported("result", _report(spec, attempts, checkup))
    yield Stopped(stopped or StopReason.COMPLETED)


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
    """Trains on the one batch; `attempts[-1]` is filled."""
    attempt, offset = attempts[-1], spec.max_steps * (len(attempts) - 1)
    plain = spec.optimizer.model_copy(update={"lr": attempt.lr, "weight_decay": 0.0, "backbone_lr": attempt.lr})
    optimizer, scaler = build_optimizer(model, plain), where.scaler()
    model.train()
    if not spec.dropout:
        _without_dropout(model)
    for step in range(1, spec.max_steps + 1):
        optimizer.zero_grad(set_to_none=True)
        with where.autocast():
            logits_BK = model(batch.inputs)
            loss = nn.functional.cross_entropy(logits_BK, batch.labels_B)
        accuracy = (logits_BK.detach().argmax(1) == batch.labels_B).float().mean()
        attempt.losses.append(float(loss.detach()))
        attempt.accuracies.append(float(accuracy))
        lr = {"lr/group0": attempt.lr}
        yield StepRecord(
            offset + step, len(attempts), {"train/loss": attempt.losses[-1], "train/accuracy": float(accuracy)} | lr
        )
        yield Progress(step / spec.max_steps, step, spec.max_steps)
        if context.stop() or not math.isfinite(attempt.losses[-1]):
            return
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
    with torch.no_grad(), where.autocast():  # the accuracy after the last step, in train mode
        attempt.accuracies.append(float((model(batch.inputs).argmax(1) == batch.labels_B).float().mean()))
    with evaluation_mode(model), where.autocast():
        attempt.eval_accuracy = float((model(batch.inputs).argmax(1) == batch.labels_B).float().mean())


def _without_dropout(model: nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, nn.Dropout | nn.Dropout2d | nn.AlphaDropout):
            module.eval()


def _passed(spec: SanitySpec, attempt: Attempt) -> bool:
    return attempt.accuracy > spec.threshold and attempt.eval_accuracy > EVAL_THRESHOLD


def _report(spec: SanitySpec, attempts: list[Attempt], checkup: CheckupReport) -> SanityReport:
    """The first attempt decides; a later one that passed tells why it failed."""
    judged = attempts[0]
    passed = _passed(spec, judged)
    return SanityReport(
        passed=passed,
        accuracy=judged.accuracy,
        eval_accuracy=judged.eval_accuracy,
        initial_loss=judged.losses[0],
        final_loss=judged.losses[-1],
        steps=len(judged.losses),
        lr=judged.lr,
        loss_per_step=[loss if math.isfinite(loss) else None for loss in judged.losses],
        accuracy_per_step=judged.accuracies,
        causes=[] if passed else _causes(spec, attempts, checkup),
        attempts=[{"lr": each.lr, "accuracy": each.accuracy, "eval_accuracy": each.eval_accuracy} for each in attempts],
    )


def _causes(spec: SanitySpec, attempts: list[Attempt], checkup: CheckupReport) -> list[str]:
    """Likely causes of a failure, the likeliest first."""
    first, causes = attempts[0], []
    better = next((each for each in attempts[1:] if _passed(spec, each)), None)
    if better is not None:
        word = "high" if better.lr < first.lr else "low"
        causes.append(f"the learning rate {first.lr:.2e} is too {word}: with {better.lr:.2e} the batch is learnt")
    if first.accuracy > spec.threshold >= EVAL_THRESHOLD >= first.eval_accuracy:
        causes.append(
            f"train mode reaches {first.accuracy:.0%} but eval mode only {first.eval_accuracy:.0%} on the same batch: "
            "a layer behaves differently in evaluation (BatchNorm statistics, dropout)"
        )
    causes += [f"{check.name}: {check.detail}" for check in checkup.checks if not check.passed]
    if checkup.parameters.trainable == 0:
        causes.append("no parameter trains: the whole model is frozen")
    elif checkup.parameters.trainable < checkup.parameters.total / 2:
        causes.append(
            f"only {checkup.parameters.trainable:,} of {checkup.parameters.total:,} parameters train: unfreeze more"
        )
    if better is None and first.accuracies[-1] < 0.5:
        causes.append(
            "the loss barely moves at any of the learning rates: look at the labels and the network's capacity"
        )
    return causes or [
        f"the batch was learnt to {first.accuracy:.0%} only: more steps, a larger network, or contradicting labels"
    ]
