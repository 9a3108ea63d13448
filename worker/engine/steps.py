"""One optimizer step: forward, loss, backward, clip, update; and what is worth recording of it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from service.errors import DivergedError
from service.events import StepRecord
from worker.engine import gradients
from worker.engine.data.batches import Batch
from worker.engine.optim import total_norm
from worker.engine.state import TrainingState


@dataclass(frozen=True, slots=True)
class StepResult:
    """Sums over the step's samples."""

    loss: float
    correct: float
    samples: int
    grad_norm: float


def take_step(run: TrainingState, batches: Sequence[Batch]) -> tuple[StepResult, StepRecord]:
    """Trains on the micro-batches of one step. A loss or gradient that is not finite raises DivergedError and leaves
    the weights as they were before the step.
    """
    run.schedule.apply(run.optimizer, run.step)
    run.optimizer.zero_grad(set_to_none=True)
    samples = sum(len(batch.labels_B) for batch in batches)
    losses, hits = zip(*(_backward(run, batch, samples) for batch in batches), strict=True)
    run.scaler.unscale_(run.optimizer)
    norm = _clip(run)
    loss, correct, grad_norm = torch.stack([sum(losses), sum(hits), norm]).tolist()
    number = run.step + 1
    _refuse_nonfinite(run, loss, grad_norm, number)
    values = {"train/loss": loss, "train/accuracy": correct / samples, "grad_norm/total": grad_norm}
    values |= {f"lr/group{n}": group["lr"] for n, group in enumerate(run.optimizer.param_groups)}
    if run.spec.gradients and (number - 1) % run.spec.gradients.every == 0:
        values |= gradients.statistics(run.model)
    values |= _update(run, number)
    run.step = number
    if run.ema:
        run.ema.update(run.model)
    return StepResult(loss * samples, correct, samples, grad_norm), StepRecord(number, run.epoch, values)


def _backward(run: TrainingState, batch: Batch, samples: int) -> tuple[Tensor, Tensor]:
    """Adds the batch's share of the step's mean loss to the gradients; returns that share and the number of hits."""
    with run.precision.autocast():
        logits_BK = run.forward(batch.inputs)
        targets = batch.labels_B if batch.targets_BK is None else batch.targets_BK
        share = run.criterion(logits_BK, targets) * (len(batch.labels_B) / samples)
    run.scaler.scale(share).backward()
    return share.detach().float(), (logits_BK.detach().argmax(1) == batch.labels_B).sum().float()


def _clip(run: TrainingState) -> Tensor:
    """Clips to the spec's norm; returns the norm before clipping."""
    trainable = [parameter for parameter in run.model.parameters() if parameter.grad is not None]
    norm = total_norm(trainable)
    if run.spec.clip_norm is not None:
        nn.utils.clip_grads_with_norm_(trainable, run.spec.clip_norm, norm)
    return norm.float()


def _update(run: TrainingState, number: int) -> dict[str, float]:
    watched = (
        run.spec.diagnose and number <= gradients.UPDATE_STEPS and (number == 1 or number % gradients.UPDATE_EVERY == 0)
    )
    weights = gradients.matrices(run.model) if watched else []
    before = gradients.copies(weights)
    run.scaler.step(run.optimizer)
    run.scaler.update()
    return {"update_ratio": gradients.update_ratio(weights, before)} if watched else {}


def _refuse_nonfinite(run: TrainingState, loss: float, grad_norm: float, number: int) -> None:
    if math.isfinite(loss) and (math.isfinite(grad_norm) or run.scaler.is_enabled()):
        return
    what = f"the loss is {loss}" if not math.isfinite(loss) else f"the gradient's norm is {grad_norm}"
    lr = run.optimizer.param_groups[0]["lr"]
    raise DivergedError(
        f"{what} at step {number} (epoch {run.epoch}, batch {run.batch + 1}), learning rate {lr:.3g}. The weights of "
        f"step {run.step} are kept in the last checkpoint. Try a learning rate of {lr / 10:.3g} and `clip_norm` 1.0; "
        "if the batch's data are not finite, look at the dataset's profile."
    )
