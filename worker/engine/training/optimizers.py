"""Optimizers, parameter groups, learning-rate schedules, early stopping and the moving average of weights."""

import math
from typing import Any, assert_never

import torch
from torch import nn

from service.resolution.defaults import better
from service.specs.optimizer import (
    ConstantSchedule,
    CosineSchedule,
    EmaSpec,
    OneCycleSchedule,
    OptimizerSpec,
    PlateauSchedule,
    ScheduleSpec,
    StepSchedule,
)
from service.specs.train import EarlyStoppingSpec


def base_lr(spec: OptimizerSpec) -> float:
    """The learning rate as a number: `from_job` is bound by the worker, null filled by the engine, before this."""
    if isinstance(spec.lr, float):
        return spec.lr
    raise TypeError(f"optimizer.lr {spec.lr!r} is not bound to a number")


def parameter_groups(model: nn.Module, spec: OptimizerSpec) -> list[dict[str, Any]]:
    """Trainable parameters in groups of one learning rate and one weight decay, in a fixed order.

    A model may say `lr_groups(lr, spec) -> [(lr, parameters)]`, the head first: these are named `head`, `backbone`
    (which ends with the last stage) and, where each stage has a rate of its own, `backbone-1`, `backbone-2`, ... down
    to the first. Otherwise there is one group. 1-D parameters (biases, norms) get no weight decay.
    """
    lr = base_lr(spec)
    decay = spec.weight_decay or 0.0
    named = getattr(model, "lr_groups", None)
    rated: list[tuple[float, list[nn.Parameter]]] = (
        [(rate, list(parameters)) for rate, parameters in named(lr, spec)]
        if named
        else [(lr, list(model.parameters()))]
    )
    groups: list[dict[str, Any]] = []
    for number, (rate, parameters) in enumerate(rated):
        name = {"name": _group_name(number)} if named else {}
        trainable = [parameter for parameter in parameters if parameter.requires_grad]
        for part, weight_decay in (
            ([p for p in trainable if p.ndim > 1], decay),
            ([p for p in trainable if p.ndim <= 1], 0.0),
        ):
            if part:
                groups.append({"params": part, "lr": rate, "base_lr": rate, "weight_decay": weight_decay} | name)
    return groups


def _group_name(number: int) -> str:
    return ("head", "backbone")[number] if number < 2 else f"backbone-{number - 1}"


def build_optimizer(model: nn.Module, spec: OptimizerSpec) -> torch.optim.Optimizer:
    """The optimizer over the model's trainable parameters; fused kernels where the device has them."""
    groups = parameter_groups(model, spec)
    fused = all(parameter.is_floating_point() for group in groups for parameter in group["params"])
    match spec.name:
        case "sgd":
            return torch.optim.SGD(
                groups, momentum=spec.momentum, nesterov=spec.nesterov and spec.momentum > 0, fused=fused
            )
        case "adam":
            return torch.optim.Adam(groups, betas=(spec.momentum, 0.999), fused=fused)
        case "adamw":
            return torch.optim.AdamW(groups, betas=(spec.momentum, 0.999), fused=fused)
        case _:
            assert_never(spec.name)


class Schedule:
    """Sets every group's learning rate to its base times a factor that is a pure function of the step.

    Only `reduce-on-plateau` has a state: the factor it has come down to.
    """

    def __init__(self, spec: ScheduleSpec, total_steps: int, steps_per_epoch: int) -> None:
        self.spec, self.total_steps, self.steps_per_epoch = spec, max(total_steps, 1), max(steps_per_epoch, 1)
        self.warmup_steps = 0 if spec.name == "one-cycle" else round(spec.warmup * total_steps)
        self.plateau_factor, self.best, self.bad_epochs = 1.0, math.inf, 0

    def factor(self, step: int) -> float:
        """Multiplier of the base learning rate for the optimizer step after `step` finished ones."""
        if step < self.warmup_steps:
            return (step + 1) / self.warmup_steps
        match self.spec:
            case ConstantSchedule():
                return 1.0
            case StepSchedule(step_epochs=epochs, gamma=gamma):
                return float(gamma ** (step // self.steps_per_epoch // epochs))
            case CosineSchedule(min_factor=least):
                done = (step - self.warmup_steps) / max(self.total_steps - self.warmup_steps, 1)
                return least + (1 - least) * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
            case OneCycleSchedule():
                return self._one_cycle(self.spec, step)
            case PlateauSchedule():
                return self.plateau_factor
            case _:
                assert_never(self.spec)

    def _one_cycle(self, spec: OneCycleSchedule, step: int) -> float:
        """torch.optim.lr_scheduler.OneCycleLR with cosine annealing."""
        start, end = 1 / spec.div_factor, 1 / spec.div_factor / spec.final_div_factor
        peak = spec.warmup * self.total_steps - 1
        if step <= peak:
            low, high, share = start, 1.0, step / max(peak, 1e-9)
        else:
            low, high, share = 1.0, end, (step - peak) / max(self.total_steps - 1 - peak, 1e-9)
        return high + (low - high) / 2 * (1 + math.cos(math.pi * min(share, 1.0)))

    def apply(self, optimizer: torch.optim.Optimizer, step: int) -> None:
        """Sets the learning rates for the next step."""
        factor = self.factor(step)
        for group in optimizer.param_groups:
            group["lr"] = group["base_lr"] * factor

    def epoch_ended(self, val_loss: float) -> None:
        """Lets `reduce-on-plateau` see the epoch's validation loss."""
        if not isinstance(self.spec, PlateauSchedule):
            return
        if val_loss < self.best - self.spec.min_delta:
            self.best, self.bad_epochs = val_loss, 0
            return
        self.bad_epochs += 1
        if self.bad_epochs > self.spec.patience:
            self.plateau_factor, self.bad_epochs = self.plateau_factor * self.spec.factor, 0

    def state(self) -> dict[str, float]:
        """What a resume needs."""
        return {"plateau_factor": self.plateau_factor, "best": self.best, "bad_epochs": self.bad_epochs}

    def load(self, state: dict[str, float]) -> None:
        """Brings back what `state` said."""
        self.plateau_factor, self.best = state["plateau_factor"], state["best"]
        self.bad_epochs = int(state["bad_epochs"])


class EarlyStopping:
    """Says when to stop: after `patience` epochs in a row without an improvement of `min_delta`."""

    def __init__(self, spec: EarlyStoppingSpec | None) -> None:
        self.spec = spec
        self.metric = spec.metric if spec else "val/loss"
        self.sign = -1.0 if spec and better(spec) == "max" else 1.0
        self.best, self.bad_epochs, self.best_seen = math.inf, 0, math.inf

    def epoch_ended(self, value: float) -> bool:
        """Takes the epoch's metric; returns whether it is the best so far (by any margin)."""
        signed = self.sign * value
        if signed < self.best - (self.spec.min_delta if self.spec else 0.0):
            self.best, self.bad_epochs = signed, 0
        else:
            self.bad_epochs += 1
        if signed < self.best_seen:
            self.best_seen = signed
            return True
        return False

    @property
    def should_stop(self) -> bool:
        """Whether patience has run out."""
        return self.spec is not None and self.bad_epochs >= self.spec.patience

    def state(self) -> dict[str, float]:
        """What a resume needs."""
        return {"best": self.best, "bad_epochs": self.bad_epochs, "best_seen": self.best_seen}

    def load(self, state: dict[str, float]) -> None:
        """Brings back what `state` said."""
        self.best, self.best_seen = state["best"], state["best_seen"]
        self.bad_epochs = int(state["bad_epochs"])


class Ema:
    """Exponential moving average of every weight and buffer; evaluation and the model file use it.

    The decay of update t is min(decay, (1 + t) / (10 + t)) (TensorFlow's `num_updates`), or a short run would end with
    an average of its first steps.
    """

    def __init__(self, model: nn.Module, spec: EmaSpec) -> None:
        self.decay = spec.decay
        live = model.state_dict()
        self.values = {name: tensor.detach().clone() for name, tensor in live.items()}
        averaged = [name for name, tensor in live.items() if tensor.is_floating_point()]
        counted = [name for name, tensor in live.items() if not tensor.is_floating_point()]
        self._averages, self._averaged = [self.values[n] for n in averaged], [live[n] for n in averaged]
        self._copies, self._copied = [self.values[n] for n in counted], [live[n] for n in counted]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Takes in the weights after optimizer step `step` (from 1); integer buffers are copied."""
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self._averages, self._averaged, 1 - decay)
        if self._copies:
            torch._foreach_copy_(self._copies, self._copied)
