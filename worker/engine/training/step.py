"""One optimizer step: forward, loss, backward, clip, update; and what is worth recording of it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from service.errors import DivergedError
from service.events import StepRecord
from worker.engine.data.batches import Batch
from worker.engine.training import gradients
from worker.engine.training.optimizers import total_norm
from worker.engine.training.state import TrainingState

MOST_OVERFLOWS = 50
"""So many steps in a row whose fp16 gradients overflow mean that no scale helps (the scaler halves it each time)."""


@dataclass(frozen=True, slots=True)
class StepOutcome:
    """Sums over the step's samples; `error` when the step was not finite and therefore taken back."""

    record: StepRecord
    loss: float
    correct: float
    samples: int
    error: DivergedError | None = None


def take_step(run: TrainingState, batches: Sequence[Batch]) -> StepOutcome:
    """Trains on the micro-batches of one step. When the loss or a gradient is not finite, weights, buffers and
    generators are as before and the outcome carries the error.
    """
    run.undo.remember()
    run.schedule.apply(run.optimizer, run.step)
    run.optimizer.zero_grad(set_to_none=True)
    samples = sum(len(batch.labels_B) for batch in batches)
    shares, hits = zip(*(_backward(run, batch, samples) for batch in batches), strict=True)
    run.scaler.unscale_(run.optimizer)
    trainable = [parameter for parameter in run.trainable if parameter.grad is not None]
    norm = total_norm(trainable)
    loss, correct, grad_norm = torch.stack([sum(shares), sum(hits), norm.float()]).tolist()  # the step's one wait
    number = run.step + 1
    values = {"train/loss": loss, "train/accuracy": correct / samples, "grad_norm/total": grad_norm}
    values |= {f"lr/group{n}": group["lr"] for n, group in enumerate(run.optimizer.param_groups)}
    record = StepRecord(number, run.epoch, values)
    error = _divergence(run, loss, grad_norm, number)
    if error:
        run.undo.take_back()
        return StepOutcome(record, loss * samples, correct, samples, error)
    if run.spec.gradients and (number - 1) % run.spec.gradients.every == 0:
        values |= gradients.statistics(run.model)  # before clipping, or an explosion could not be seen
    if run.spec.clip_norm is not None and grad_norm > run.spec.clip_norm:
        nn.utils.clip_grads_with_norm_(trainable, run.spec.clip_norm, norm)
    values |= _update(run, number)
    run.step = number
    return StepOutcome(record, loss * samples, correct, samples)


def _backward(run: TrainingState, batch: Batch, samples: int) -> tuple[Tensor, Tensor]:
    """Adds the batch's share of the step's mean loss to the gradients; returns that share and the number of hits."""
    with run.precision.autocast():
        logits_BK = run.forward(batch.inputs)
        targets = batch.labels_B if batch.targets_BK is None else batch.targets_BK
        share = run.criterion(logits_BK, targets) * (len(batch.labels_B) / samples)
    run.scaler.scale(share).backward()
    return share.detach().float(), (logits_BK.detach().argmax(1) == batch.labels_B).sum().float()


def _update(run: TrainingState, number: int) -> dict[str, float]:
    watched = (
        run.spec.diagnose and number <= gradients.UPDATE_STEPS and (number == 1 or number % gradients.UPDATE_EVERY == 0)
    )
    weights = gradients.matrices(run.model) if watched else []
    before = gradients.copies(weights)
    run.scaler.step(run.optimizer)
    run.scaler.update()
    if run.ema:
        run.ema.update(number)
    return {"update_ratio": gradients.update_ratio(weights, before)} if watched else {}


def _divergence(run: TrainingState, loss: float, grad_norm: float, number: int) -> DivergedError | None:
    overflow = math.isfinite(loss) and not math.isfinite(grad_norm)
    run.overflows = run.overflows + 1 if overflow else 0
    if math.isfinite(loss) and (not overflow or (run.scaler.is_enabled() and run.overflows < MOST_OVERFLOWS)):
        return None
    what = f"the gradient's norm is {grad_norm}" if overflow else f"the loss is {loss}"
    return DivergedError(
        f"{what} at step {number} (epoch {run.epoch}, batch {run.batch + 1}), learning rate {run.lr:.3g}. The state "
        f"of step {run.step} is kept in the last checkpoint. Try `optimizer.lr` {run.calmer_lr:g}"
        + ("" if (run.spec.clip_norm or math.inf) <= 1 else " and `clip_norm` 1.0")
        + "; if the batch's data are not finite, look at the dataset's profile."
    )
