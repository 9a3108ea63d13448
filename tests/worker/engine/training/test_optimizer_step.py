"""Trainings, sweeps and sanity checks step alike: their losses are, bit for bit, those of loops in plain torch."""

from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from service.events import Event, StepRecord
from service.resolution.defaults import filled
from service.specs.lr_find import LrFindSpec
from service.specs.sanity import SanitySpec
from service.specs.train import TrainSpec
from service.specs.training import AugmentedPart, TrainingPart
from tests.worker.engine.runs import only
from worker.engine import run
from worker.engine.context import RunContext
from worker.engine.data.batches import Batch, Batches
from worker.engine.kinds.lr_find import cycle
from worker.engine.kinds.sanity import fixed_batch
from worker.engine.runtime import seeding
from worker.engine.runtime.precision import Precision
from worker.engine.training import setup
from worker.engine.training.criterion import build_criterion
from worker.engine.training.optimizer_step import OptimizerStep
from worker.engine.training.optimizers import build_optimizer

CPU = Precision(torch.device("cpu"))
CNN = {"family": "cnn", "channels": [4], "hidden": [16], "dropout": 0.3}
MIXED = {"augment": [{"op": "rotation", "degrees": 10}, {"op": "mixup"}], "loss": {"label_smoothing": 0.1}}


def losses_of(spec: TrainSpec | LrFindSpec | SanitySpec, data: Path) -> list[float]:
    events: list[Event] = list(run(spec, RunContext(scratch=data, dataset=data)))
    return [event.values["train/loss"] for event in only(events, StepRecord)]


def built(spec: TrainingPart, data: Path) -> tuple[nn.Module, torch.optim.Optimizer]:
    """The model and the optimizer that a job of this spec begins with."""
    context = RunContext(scratch=data, dataset=data)
    setup.start(spec, context)
    model = setup.build_model(spec, setup.open_dataset(context), CPU, context)
    return model.train(), build_optimizer(model, spec.optimizer)


def plain_step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    criterion: nn.Module,
    batches: list[Batch],
    clip: tuple[Iterable[nn.Parameter], float] | None = None,
) -> float:
    """One step as torch's tutorials write it; `clip` names parameters and the largest norm of their gradients."""
    optimizer.zero_grad()
    samples, total = sum(len(batch.labels_B) for batch in batches), torch.zeros(())
    for batch in batches:
        loss: Tensor = criterion(model(batch.inputs), batch.goals) * (len(batch.labels_B) / samples)
        torch.autograd.backward(loss)
        total = total + loss.detach()
    if clip is not None:
        nn.utils.clip_grad_norm_(*clip)
    optimizer.step()
    return total.item()


def batches_of(spec: AugmentedPart, data: Path, size: int) -> Batches:
    return setup.train_batches(spec, setup.open_dataset(RunContext(scratch=data, dataset=data)), CPU.device, size)


@pytest.mark.parametrize("fields", [{"clip_norm": 0.5}, {"clip_norm": None, "accumulate": 3}, MIXED], ids=str)
def test_a_training_steps_as_a_plain_loop_does(fields: dict[str, Any], few_digits: Path, tmp_path: Path) -> None:
    common = {"epochs": 1, "batch_size": 20, "schedule": {"name": "constant"}, "diagnose": False}
    spec = filled(TrainSpec.model_validate({"kind": "train", "dataset": "digits", "model": CNN} | common | fields))
    model, optimizer = built(spec, few_digits)
    batches = batches_of(spec, few_digits, 20)
    criterion = build_criterion(spec.loss, batches.labels_N, 10)
    seeding.seed_everything(spec.seed, deterministic=spec.deterministic)
    epoch = batches.epoch(1)
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    clip = None if spec.clip_norm is None else (parameters, spec.clip_norm)
    expected = [
        plain_step(model, optimizer, criterion, group, clip)
        for group in iter(lambda: list(islice(epoch, spec.accumulate)), [])
    ]
    context = RunContext(scratch=tmp_path, dataset=few_digits)
    assert [e.values["train/loss"] for e in only(run(spec, context), StepRecord)] == expected


def test_a_sweep_steps_as_a_plain_loop_does(few_digits: Path) -> None:
    fields = {"model": CNN, "rule": "chapter", "clip_norm": 0.5, "num_steps": 40, "lr_max": 0.1} | MIXED
    spec = filled(LrFindSpec.model_validate({"kind": "lr-find", "dataset": "digits"} | fields))
    model, optimizer = built(spec, few_digits)
    batches = batches_of(spec, few_digits, spec.batch_size)
    criterion = build_criterion(spec.loss, batches.labels_N, 10)
    expected = []
    for step, batch in zip(range(40), cycle(batches), strict=False):
        for group in optimizer.param_groups:
            group["lr"] = spec.lr_min * ((spec.lr_max / spec.lr_min) ** (1 / 39)) ** step
        expected.append(plain_step(model, optimizer, criterion, [batch], (model.parameters(), 0.5)))
    assert losses_of(spec, few_digits) == expected


def test_a_sanity_check_steps_as_a_plain_loop_does(few_digits: Path) -> None:
    fields = {"model": CNN, "dropout": True, "max_steps": 20, "optimizer": {"name": "sgd", "lr": 0.01}}
    spec = filled(SanitySpec.model_validate({"kind": "sanity", "dataset": "digits"} | fields))
    plain = spec.model_copy(update={"optimizer": spec.optimizer.model_copy(update={"weight_decay": 0.0})})
    model, optimizer = built(plain, few_digits)
    dataset = setup.open_dataset(RunContext(scratch=few_digits, dataset=few_digits))
    source = setup.plain_batches(spec, dataset, CPU.device, "train", 256)
    batch = fixed_batch(source, spec.samples, spec.seed)
    seeding.seed_everything(spec.seed, deterministic=spec.deterministic)
    expected = [plain_step(model, optimizer, nn.CrossEntropyLoss(), [batch]) for _ in range(20)]
    assert losses_of(spec, few_digits)[:20] == expected


@pytest.fixture
def step() -> OptimizerStep:
    torch.manual_seed(0)
    model = nn.Linear(4, 3)
    return OptimizerStep(model, nn.CrossEntropyLoss(), torch.optim.SGD(model.parameters(), lr=1.0), CPU, clip_norm=0.01)


def test_between_its_halves_a_step_has_changed_nothing_but_gradients(step: OptimizerStep) -> None:
    batch = Batch(torch.randn(8, 4), torch.arange(8) % 3, torch.arange(8))
    before = [parameter.detach().clone() for parameter in step.parameters]
    seen = step.backward([batch])
    norm = nn.utils.get_total_norm([p.grad for p in step.parameters if p.grad is not None])
    assert (seen.samples, seen.grad_norm) == (8, norm.item())
    assert seen.grad_norm > 0.01
    assert all(torch.equal(a, b) for a, b in zip(before, step.parameters, strict=True))
    step.update()
    moved = torch.cat([(a - b.detach()).flatten() for a, b in zip(before, step.parameters, strict=True)])
    assert float(moved.norm()) == pytest.approx(0.01, rel=1e-4)
