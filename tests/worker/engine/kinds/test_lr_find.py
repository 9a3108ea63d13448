"""The `lr-find` job: the sweep against plain torch, everything as it was afterwards, a suggestion that trains well."""

import copy
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from service.events import EpochRecord, Event, StepRecord
from service.reports.result import LrCurve
from service.resolution.defaults import filled
from service.specs.lr_find import LrFindSpec
from service.states import StopReason
from tests.worker.engine import runs
from tests.worker.engine.runs import StopAt, ended_by, only, reports_of
from worker.engine import run
from worker.engine.context import RunContext
from worker.engine.data.batches import Batches
from worker.engine.kinds.lr_find import Sweeper, cycle
from worker.engine.runtime import preserve
from worker.engine.runtime.precision import Precision
from worker.engine.training import setup
from worker.engine.training.optimizer_step import OptimizerStep
from worker.engine.training.optimizers import build_optimizer


def spec_of(**fields: Any) -> LrFindSpec:
    quick = {"kind": "lr-find", "dataset": "digits", "model": {"family": "mlp", "hidden": [32]}}
    return LrFindSpec.model_validate(quick | fields)


def events_of(data: Path, scratch: Path, **fields: Any) -> list[Event]:
    return list(run(spec_of(**fields), RunContext(scratch=scratch, dataset=data)))


def curve_of(events: list[Event]) -> LrCurve:
    report = reports_of(events)["result"]
    assert isinstance(report, LrCurve)
    return report


@dataclass
class Bench:
    """A network with its optimizer and data, ready to be swept."""

    spec: LrFindSpec
    model: nn.Module
    optimizer: torch.optim.Optimizer
    batches: Batches

    @classmethod
    def of(cls, data: Path, **fields: Any) -> "Bench":
        spec = filled(spec_of(**fields))
        context = RunContext(scratch=data, dataset=data)
        setup.start(spec, context)
        dataset = setup.open_dataset(context)
        precision = Precision.of(spec, "cpu")
        model = setup.build_model(spec, dataset, precision, context)
        batches = setup.train_batches(spec, dataset, precision.device, spec.batch_size)
        return cls(spec, model, build_optimizer(model, spec.optimizer), batches)

    def sweeper(self) -> Sweeper:
        precision, clip_norm = Precision(torch.device("cpu")), self.spec.clip_norm
        step = OptimizerStep(self.model, nn.CrossEntropyLoss(), self.optimizer, precision, clip_norm)
        return Sweeper(self.spec, self.model, step, self.batches)

    def train(self, steps: int) -> None:
        """Some steps, so that optimizer and BatchNorm have something to lose."""
        for _, batch in zip(range(steps), cycle(self.batches), strict=False):
            self.optimizer.zero_grad()
            torch.autograd.backward(nn.functional.cross_entropy(self.model(batch.inputs), batch.labels_B))
            self.optimizer.step()

    def everything(self) -> dict[str, Any]:
        """A deep copy of all that a sweep could change."""
        version, internal, gauss = random.getstate()
        return {
            "model": copy.deepcopy(self.model.state_dict()),
            "modes": [module.training for module in self.model.modules()],
            "optimizer": copy.deepcopy(self.optimizer.state_dict()),
            "python": (version, internal, gauss),
            "numpy": np.random.get_state(legacy=False),
            "torch": torch.get_rng_state(),
        }


def assert_same(before: Any, after: Any) -> None:
    """Equality through containers, bit for bit."""
    assert type(before) is type(after)
    if isinstance(before, torch.Tensor):
        assert torch.equal(before, after)
    elif isinstance(before, np.ndarray):
        assert np.array_equal(before, after)
    elif isinstance(before, dict):
        assert before.keys() == after.keys()
        for key in before:
            assert_same(before[key], after[key])
    elif isinstance(before, list | tuple):
        assert len(before) == len(after)
        for one, other in zip(before, after, strict=True):
            assert_same(one, other)
    else:
        assert before == after


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_every_tensor_and_generator_is_as_before(optimizer: str, digits: Path) -> None:
    model = {"family": "mlp", "hidden": [32], "dropout": 0.3}
    bench = Bench.of(digits, optimizer={"name": optimizer}, model=model, augment="standard")
    bench.train(5)
    bench.model.eval()
    before = bench.everything()
    with preserve.everything(bench.model, bench.optimizer):
        rows = list(bench.sweeper())
        assert len(rows) == 100
        assert not torch.equal(bench.model.state_dict()["1.weight"], before["model"]["1.weight"])
    assert_same(before, bench.everything())
    assert all(parameter.grad is None for parameter in bench.model.parameters())


def test_everything_is_as_before_when_the_sweep_breaks_off(digits: Path) -> None:
    bench = Bench.of(digits)
    bench.train(5)
    before = bench.everything()

    def broken() -> Iterator[None]:
        with preserve.everything(bench.model, bench.optimizer):
            for step, _ in enumerate(bench.sweeper()):
                if step == 30:
                    raise MemoryError
                yield

    with pytest.raises(MemoryError):
        list(broken())
    assert_same(before, bench.everything())


def test_the_sweep_is_that_of_a_plain_loop(digits: Path) -> None:
    """Training losses, and losses on the probe, as a loop in plain torch finds them on the same batches."""
    fields = {"model": {"family": "mlp", "hidden": [32], "batch_norm": False}, "optimizer": {"name": "adam"}}
    swept = list(Bench.of(digits, **fields).sweeper())
    bench = Bench.of(digits, **fields)
    chosen = np.sort(np.random.default_rng(bench.spec.seed).permutation(bench.batches.samples)[:64])
    probe, answers = bench.batches.source.read(torch.from_numpy(chosen)), bench.batches.labels_N[chosen]
    decays = [1e-4 if parameter.ndim > 1 else 0.0 for parameter in bench.model.parameters()]
    optimizer = torch.optim.Adam(
        [{"params": [p], "weight_decay": d} for p, d in zip(bench.model.parameters(), decays, strict=True)]
    )
    for step, (batch, (lr, train_loss, loss)) in enumerate(zip(cycle(bench.batches), swept, strict=False)):
        assert lr == pytest.approx(1e-7 * (1e7 ** (step / 99)))
        for group in optimizer.param_groups:
            group["lr"] = lr
        optimizer.zero_grad()
        expected = nn.functional.cross_entropy(bench.model(batch.inputs), batch.labels_B)
        torch.autograd.backward(expected)
        nn.utils.clip_grad_norm_(bench.model.parameters(), 1.0)
        optimizer.step()
        if lr > 0.01:  # beyond, rounding errors grow
            break
        assert train_loss == pytest.approx(expected.item(), rel=1e-3)
        if loss is not None:
            with torch.no_grad():
                assert loss == pytest.approx(nn.functional.cross_entropy(bench.model(probe), answers).item(), rel=1e-3)


@pytest.mark.parametrize(
    ("optimizer", "model"),
    [("sgd", {"family": "mlp"}), ("adamw", {"family": "mlp"}), ("adam", {"family": "cnn", "channels": [8, 16]})],
)
def test_the_suggestion_trains_well(optimizer: str, model: dict[str, Any], digits: Path, tmp_path: Path) -> None:
    curve = curve_of(events_of(digits, tmp_path, optimizer={"name": optimizer}, model=model))
    assert curve.quality == "good"
    assert len(curve.points) == 100

    def accuracy(lr: float) -> float:
        quick = {"epochs": 5, "model": model, "optimizer": {"name": optimizer, "lr": lr}, "diagnose": False}
        epochs = only(runs.train(digits, tmp_path, runs.spec_of(**quick)), EpochRecord)
        return epochs[-1].val["accuracy"]

    suggested = accuracy(curve.suggested)
    assert suggested > 0.9
    assert suggested > accuracy(curve.suggested / 100) + 0.1


def test_the_probe_costs_less_than_a_tenth_of_the_steps(digits: Path) -> None:
    """A look costs a third of a step at most (a forward pass of 64 samples against a whole step of 64)."""
    sweeper = Bench.of(digits).sweeper()
    assert len(list(sweeper)) == 100
    assert 15 < len(sweeper.measured) < 30


def test_data_shorter_than_the_sweep_are_cycled_and_ragged_batches_left_out(few_digits: Path) -> None:
    bench = Bench.of(few_digits)  # 300 samples: four batches of 64 an epoch and 44 left over
    assert len(list(bench.sweeper())) == 100
    drawn = [batch for _, batch in zip(range(8), cycle(bench.batches), strict=False)]
    assert {len(batch.labels_B) for batch in drawn} == {64}
    assert not torch.equal(drawn[0].indices_B, drawn[4].indices_B)


def test_data_smaller_than_one_batch_are_swept_whole(few_digits: Path, tmp_path: Path) -> None:
    events = events_of(few_digits, tmp_path, batch_size=4096, num_steps=20)
    assert len(only(events, StepRecord)) == 20


def test_a_diverging_sweep_ends_at_once(digits: Path, tmp_path: Path) -> None:
    model = {"family": "mlp", "hidden": [32], "batch_norm": False}
    fields = {"model": model, "optimizer": {"name": "sgd"}, "lr_max": 100, "clip_norm": None}
    events = events_of(digits, tmp_path, **fields)
    curve = curve_of(events)
    assert len(curve.points) < 100
    assert "10-fold" in curve.reason or "stopped being a number" in curve.reason
    assert curve.quality == "good"
    assert curve.suggested < 1


def test_the_raw_rule_is_read_off_the_training_loss(digits: Path, tmp_path: Path) -> None:
    events = events_of(digits, tmp_path, rule="chapter")
    losses = [event.values["train/loss"] for event in only(events, StepRecord)]
    curve = curve_of(events)
    assert [point.loss for point in curve.points] == losses
    assert curve.suggested == pytest.approx(curve.points[int(np.argmin(np.gradient(losses)))].lr)


def test_groups_keep_their_ratios(digits: Path) -> None:
    """The swept number is the spec's lr; a group that trains at a tenth of it does so all along."""
    bench = Bench.of(digits, optimizer={"name": "sgd", "lr": 0.01})
    matrices, vectors = bench.optimizer.param_groups
    matrices["base_lr"] = 0.001
    for lr, _, _ in bench.sweeper():
        assert matrices["lr"] == pytest.approx(lr / 10)
        assert vectors["lr"] == pytest.approx(lr)


def test_two_runs_of_one_spec_are_identical(digits: Path, tmp_path: Path) -> None:
    fields = {"augment": "light", "model": {"family": "mlp", "hidden": [32], "dropout": 0.2}}
    first, second = (curve_of(events_of(digits, tmp_path, **fields)) for _ in range(2))
    assert first == second


def test_a_run_that_is_asked_to_stop_suggests_nothing(digits: Path, tmp_path: Path) -> None:
    context = RunContext(scratch=tmp_path, dataset=digits, stop=StopAt(10, StopReason.CANCELLED))
    events = list(run(spec_of(), context))
    assert ended_by(events) is StopReason.CANCELLED
    assert "result" not in reports_of(events)
    assert len(only(events, StepRecord)) == 10
