"""One step of a training: an optimizer step on the schedule, recorded; taken back when its loss is not finite."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from service.diagnosis.thresholds import UPDATE_STEPS
from service.errors import DivergedError
from service.events import StepRecord
from worker.engine.data.batches import Batch
from worker.engine.training import gradients
from worker.engine.training.optimizer_step import StepLoss
from worker.engine.training.state import TrainingState

MOST_OVERFLOWS = 50
"""So many steps in a row whose fp16 gradients overflow mean that no scale helps (the scaler halves it each time)."""


@dataclass(frozen=True, slots=True)
class StepOutcome:
    """`error` when the loss or a gradient was not finite; the step was taken back then."""

    record: StepRecord
    seen: StepLoss
    error: DivergedError | None = None


def take_step(run: TrainingState, batches: Sequence[Batch]) -> StepOutcome:
    """Trains on the micro-batches of one step. When the loss or a gradient is not finite, weights, buffers and
    generators are as before and the outcome carries the error.
    """
    run.before_step.save()
    run.schedule.apply(run.optimizer_step.optimizer, run.step)
    seen = run.optimizer_step.backward(batches)
    number = run.step + 1
    values = {"train/loss": seen.loss, "train/accuracy": seen.accuracy, "grad_norm/total": seen.grad_norm}
    groups = run.optimizer_step.optimizer.param_groups
    values |= {f"lr/group{n}": group["lr"] for n, group in enumerate(groups)}
    values |= {f"lr/{group['name']}": group["lr"] for group in groups if "name" in group}
    record = StepRecord(number, run.epoch, values)
    if error := _divergence(run, seen):
        run.before_step.restore()
        return StepOutcome(record, seen, error)
    if run.spec.gradients and run.step % run.spec.gradients.every == 0:
        values |= gradients.statistics(run.model)  # before clipping, or an explosion could not be seen
    values |= _update(run, number)
    run.step = number
    return StepOutcome(record, seen)


def _update(run: TrainingState, number: int) -> dict[str, float]:
    watched = run.spec.diagnose and number <= UPDATE_STEPS and (number == 1 or number % gradients.UPDATE_EVERY == 0)
    weights = gradients.matrices(run.model) if watched else []
    before = gradients.copies(weights)
    run.optimizer_step.update()
    if run.ema:
        run.ema.update(number)
    return {"update_ratio": gradients.update_ratio(weights, before)} if watched else {}


def _divergence(run: TrainingState, seen: StepLoss) -> DivergedError | None:
    step = run.optimizer_step
    is_skipped = seen.is_overflow and step.scaler.is_enabled() and step.overflows < MOST_OVERFLOWS
    if is_skipped or (math.isfinite(seen.loss) and not seen.is_overflow):
        return None
    what = f"the gradient's norm is {seen.grad_norm}" if seen.is_overflow else f"the loss is {seen.loss}"
    return DivergedError(
        f"{what} at step {run.step + 1} (epoch {run.epoch}, batch {run.batch + 1}), learning rate {run.lr:.3g}. The "
        f"state of step {run.step} is kept in the last checkpoint. Try `optimizer.lr` {run.calmer_lr:g}"
        + ("" if (run.spec.clip_norm or math.inf) <= 1 else " and `clip_norm` 1.0")
        + "; if the batch's data are not finite, look at the dataset's profile."
    )
