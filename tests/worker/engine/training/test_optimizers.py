"""Optimizers, schedules, early stopping and the moving average, step for step against torch and textbooks."""

import math
import random
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter
from torch import nn
from torch.optim import lr_scheduler

from service.resolution.defaults import filled_optimizer
from service.specs.model import MlpSpec
from service.specs.optimizer import EmaSpec, OptimizerSpec, ScheduleSpec
from service.specs.train import EarlyStoppingSpec
from worker.engine.training.optimizers import EarlyStopping, Ema, Schedule, build_optimizer

SCHEDULE: TypeAdapter[Any] = TypeAdapter(ScheduleSpec)
STEPS, EPOCH = 60, 6


def network(seed: int = 0) -> nn.Sequential:
    """Matrices, biases and norms; no bias before the norm, whose zero gradient Adam would blow up to noise."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))


def rates(spec: dict[str, Any], steps: int = STEPS) -> list[float]:
    """The learning rate of each optimizer step, for a base rate of 1."""
    schedule = Schedule(SCHEDULE.validate_python(spec), steps, EPOCH)
    return [schedule.factor(step) for step in range(steps)]


def torch_rates(scheduler: Any, steps: int = STEPS) -> list[float]:
    """The same from a torch scheduler, stepped once a step."""
    found = []
    for _ in range(steps):
        found.append(scheduler.optimizer.param_groups[0]["lr"])
        scheduler.optimizer.step()
        scheduler.step()
    return found


def unit_sgd() -> torch.optim.SGD:
    return torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)


def test_cosine_equals_torch() -> None:
    theirs = torch_rates(lr_scheduler.CosineAnnealingLR(unit_sgd(), STEPS, eta_min=0.1))
    assert rates({"name": "cosine", "warmup": 0, "min_factor": 0.1}) == pytest.approx(theirs, abs=1e-9)


def test_cosine_after_warmup_equals_torch() -> None:
    optimizer = unit_sgd()
    parts = [
        lr_scheduler.LinearLR(optimizer, 1 / 6, 1.0, 5),
        lr_scheduler.CosineAnnealingLR(optimizer, STEPS - 6),
    ]
    theirs = torch_rates(lr_scheduler.SequentialLR(optimizer, parts, [6]))
    assert rates({"name": "cosine", "warmup": 0.1}) == pytest.approx(theirs, abs=1e-9)


def test_one_cycle_equals_torch() -> None:
    optimizer = unit_sgd()
    theirs = lr_scheduler.OneCycleLR(optimizer, 1.0, total_steps=STEPS, pct_start=0.3, cycle_momentum=False)
    found = []
    for step in range(STEPS):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if step < STEPS - 1:
            theirs.step()
    assert rates({"name": "one-cycle"}) == pytest.approx(found, abs=1e-9)


def test_step_schedule_equals_torch() -> None:
    theirs = torch_rates(lr_scheduler.StepLR(unit_sgd(), step_size=2 * EPOCH, gamma=0.3))
    assert rates({"name": "step", "step_epochs": 2, "gamma": 0.3}) == pytest.approx(theirs)


def test_constant_is_constant_after_its_warmup() -> None:
    assert rates({"name": "constant", "warmup": 0.05})[:5] == pytest.approx([1 / 3, 2 / 3, 1, 1, 1])


def test_reduce_on_plateau_equals_torch() -> None:
    spec = {"name": "reduce-on-plateau", "factor": 0.5, "patience": 2, "min_delta": 0.01}
    schedule = Schedule(SCHEDULE.validate_python(spec), STEPS, EPOCH)
    optimizer = unit_sgd()
    theirs = lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=2, threshold=0.01, threshold_mode="abs")
    draw = random.Random(0)
    for epoch in range(60):
        loss = max(0.3, 2 - 0.1 * epoch) + draw.random() * 0.05
        schedule.epoch_ended(loss)
        theirs.step(loss)
        assert schedule.factor(epoch) == optimizer.param_groups[0]["lr"]
    assert schedule.factor(60) < 0.1


@pytest.mark.parametrize(
    ("spec", "theirs"),
    [
        (
            {"name": "sgd", "lr": 0.1, "momentum": 0.8, "nesterov": True},
            (torch.optim.SGD, {"momentum": 0.8, "nesterov": True}),
        ),
        ({"name": "sgd", "lr": 0.1, "momentum": 0}, (torch.optim.SGD, {})),
        ({"name": "adam", "lr": 0.01}, (torch.optim.Adam, {})),
        ({"name": "adamw", "lr": 0.01, "momentum": 0.85}, (torch.optim.AdamW, {"betas": (0.85, 0.999)})),
    ],
)
def test_optimizer_equals_torch_without_decay_of_biases_and_norms(spec: dict[str, Any], theirs: Any) -> None:
    ours, reference = network(), network()
    optimizer = build_optimizer(ours, OptimizerSpec.model_validate(spec | {"weight_decay": 0.05}))
    kind, options = theirs
    named = list(reference.named_parameters())
    other = kind(
        [
            {"params": [p for _, p in named if p.ndim > 1], "weight_decay": 0.05},
            {"params": [p for _, p in named if p.ndim == 1], "weight_decay": 0.0},
        ],
        lr=spec["lr"],
        foreach=False,
        **options,
    )
    x, y = torch.randn(20, 6), torch.arange(20) % 3
    for _ in range(10):
        for model, each in ((ours, optimizer), (reference, other)):
            each.zero_grad()
            torch.autograd.backward(nn.functional.cross_entropy(model(x), y))
            each.step()
    for a, b in zip(ours.parameters(), reference.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-6)


def test_null_takes_the_usual_value_for_the_optimizer() -> None:
    for name, lr, decay in (("sgd", 1e-2, 1e-4), ("adam", 1e-3, 1e-4), ("adamw", 1e-3, 1e-2)):
        spec = filled_optimizer(OptimizerSpec.model_validate({"name": name}), MlpSpec())
        matrices, vectors = build_optimizer(network(), spec).param_groups
        assert (matrices["lr"], matrices["weight_decay"], vectors["weight_decay"]) == (lr, decay, 0.0)


def test_frozen_parameters_are_left_out() -> None:
    model = network()
    model[0].requires_grad_(False)
    groups = build_optimizer(model, OptimizerSpec(lr=1e-3)).param_groups
    assert sum(len(group["params"]) for group in groups) == 4


class TextbookEarlyStopping:
    """Early stopping as textbooks print it."""

    def __init__(self, patience: int, min_delta: float) -> None:
        self.patience, self.min_delta = patience, min_delta
        self.compteur, self.meilleure_loss, self.stop = 0, float("inf"), False

    def __call__(self, val_loss: float) -> None:
        if val_loss < self.meilleure_loss - self.min_delta:
            self.meilleure_loss = val_loss
            self.compteur = 0
        else:
            self.compteur += 1
            if self.compteur >= self.patience:
                self.stop = True


@pytest.mark.parametrize("seed", range(20))
def test_early_stopping_equals_the_textbook_class(seed: int) -> None:
    draw = random.Random(seed)
    patience, min_delta = draw.randint(1, 6), draw.choice([0.0, 0.001, 0.05])
    ours = EarlyStopping(EarlyStoppingSpec(patience=patience, min_delta=min_delta))
    theirs = TextbookEarlyStopping(patience, min_delta)
    loss = 2.0
    for _ in range(60):
        loss = max(0.2, loss - 0.05 + draw.gauss(0, 0.06))
        ours.epoch_ended(loss)
        theirs(loss)
        assert ours.should_stop == theirs.stop
        if theirs.stop:
            return


def test_early_stopping_on_accuracy_waits_for_it_to_rise() -> None:
    stopping = EarlyStopping(EarlyStoppingSpec(patience=2, min_delta=0.01, metric="val/accuracy"))
    assert [stopping.epoch_ended(value) for value in (0.5, 0.6, 0.605, 0.604)] == [True, True, True, False]
    assert stopping.should_stop


def test_loss_that_is_not_a_number_is_never_the_best() -> None:
    stopping = EarlyStopping(None)
    assert [stopping.epoch_ended(value) for value in (math.nan, 1.0, math.nan)] == [False, True, False]
    assert not stopping.should_stop


def test_moving_average_equals_torch_with_the_ramped_decay() -> None:
    model = network()
    ema = Ema(model, EmaSpec(decay=0.9))
    theirs = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for step in range(1, 121):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter))
            model(torch.randn(5, 6))
        ema.update(step)
        decay = min(0.9, (1 + step) / (10 + step))
        for name, tensor in model.state_dict().items():
            theirs[name] = decay * theirs[name] + (1 - decay) * tensor if tensor.is_floating_point() else tensor.clone()
    assert all(torch.allclose(ema.values[name], theirs[name], atol=1e-5) for name in theirs)
