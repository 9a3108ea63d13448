"""One engine step against the same step written out in plain torch."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch import nn

from service.events import StepRecord
from service.specs.train import TrainSpec
from tests.worker.engine.runs import only, spec_of, steps_of, train
from worker.engine.context import RunContext
from worker.engine.training.setup import build_run
from worker.engine.training.state import TrainingState
from worker.engine.training.train_step import take_step

MLP = {"family": "mlp", "hidden": [16], "activation": "tanh", "init": "xavier"}


def run_of(data: Path, scratch: Path, spec: TrainSpec) -> TrainingState:
    run = build_run(spec, RunContext(scratch=scratch, dataset=data))
    run.model.train()
    return run


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"clip_norm": 0.05},
        {"clip_norm": None},
        {"loss": {"label_smoothing": 0.2}},
        {"loss": {"class_weights": [1, 2, 3, 1, 1, 1, 1, 1, 1, 0.5]}},
        {"loss": {"class_weights": "balanced"}},
    ],
    ids=["default", "clipped", "unclipped", "smoothed", "weighted", "balanced"],
)
def test_steps_equal_a_plain_loop(fields: dict[str, Any], few_digits: Path, tmp_path: Path) -> None:
    spec = spec_of(
        model=MLP, optimizer={"name": "sgd", "lr": 0.1, "weight_decay": 0}, schedule={"name": "constant"}, **fields
    )
    run = run_of(few_digits, tmp_path, spec)
    reference = nn.Sequential(
        nn.Flatten(), nn.Linear(64, 16, bias=False), nn.BatchNorm1d(16), nn.Tanh(), nn.Linear(16, 10)
    )
    reference.load_state_dict(dict(zip(reference.state_dict(), run.model.state_dict().values(), strict=True)))
    optimizer = torch.optim.SGD(reference.parameters(), lr=0.1, momentum=0.9)
    weight = run.optimizer_step.criterion.get_buffer("weight") if "class_weights" in fields.get("loss", {}) else None
    smoothing = fields.get("loss", {}).get("label_smoothing", 0.0)
    for batch in run.splits.train.epoch(1):
        outcome = take_step(run, [batch])
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(reference(batch.inputs), batch.labels_B, weight, label_smoothing=smoothing)
        torch.autograd.backward(loss)
        norm = nn.utils.clip_grad_norm_(reference.parameters(), spec.clip_norm or 1e9)
        optimizer.step()
        assert outcome.record.values["train/loss"] == pytest.approx(loss.item(), rel=1e-5)
        assert outcome.record.values["grad_norm/total"] == pytest.approx(norm.item(), rel=1e-4)
    for ours, theirs in zip(run.model.parameters(), reference.parameters(), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-6)


def test_balanced_weights_equal_scikit_learn(few_digits: Path, tmp_path: Path) -> None:
    run = run_of(few_digits, tmp_path, spec_of(loss={"class_weights": "balanced"}))
    labels_N = run.splits.train.labels_N.numpy()
    expected = compute_class_weight("balanced", classes=np.arange(10), y=labels_N)
    assert run.optimizer_step.criterion.get_buffer("weight").tolist() == pytest.approx(expected.tolist(), rel=1e-6)


@pytest.mark.parametrize(
    "loss",
    [{}, {"class_weights": [9, *[1] * 8, 0]}, {"class_weights": "balanced", "label_smoothing": 0.1}],
)
def test_accumulated_micro_batches_equal_one_large_batch(
    loss: dict[str, Any], few_digits: Path, tmp_path: Path
) -> None:
    fields: dict[str, Any] = {"model": MLP | {"batch_norm": False}, "loss": loss}
    large = train(few_digits, tmp_path / "a", spec_of(batch_size=60, **fields))
    small = train(few_digits, tmp_path / "b", spec_of(batch_size=15, accumulate=4, **fields))
    one, other = steps_of(large), steps_of(small)
    assert len(one) == len(other) == 15
    for step, values in one.items():
        assert other[step]["train/loss"] == pytest.approx(values["train/loss"], rel=1e-4)
        assert other[step]["grad_norm/total"] == pytest.approx(values["grad_norm/total"], rel=1e-3)


def test_recorded_gradients_are_those_before_clipping(few_digits: Path, tmp_path: Path) -> None:
    spec = spec_of(model=MLP, gradients={"every": 1}, clip_norm=1e-3)
    for values in steps_of(train(few_digits, tmp_path, spec)).values():
        norms = [value for name, value in values.items() if name.startswith("grad/") and name.endswith("/norm")]
        assert sum(norm**2 for norm in norms) ** 0.5 == pytest.approx(values["grad_norm/total"], rel=1e-4)
        for name in ("grad/1.weight", "grad/4.weight"):
            assert abs(values[f"{name}/mean"]) <= values[f"{name}/max"] <= values[f"{name}/norm"]


def test_update_ratio_is_the_median_over_matrices(few_digits: Path, tmp_path: Path) -> None:
    run = run_of(few_digits, tmp_path, spec_of(model=MLP))
    before = [p.detach().clone() for p in run.model.parameters() if p.ndim > 1]
    outcome = take_step(run, [next(iter(run.splits.train.epoch(1)))])
    after = [p.detach() for p in run.model.parameters() if p.ndim > 1]
    ratios = sorted(float((b - a).norm() / a.norm()) for a, b in zip(before, after, strict=True))
    assert outcome.record.values["update_ratio"] == pytest.approx(
        ratios[0], rel=1e-4
    )  # torch's median is the lower one


def test_nothing_is_recorded_for_a_diagnosis_that_is_switched_off(few_digits: Path, tmp_path: Path) -> None:
    events = train(few_digits, tmp_path, spec_of(diagnose=False, gradients=None))
    names = {name for record in only(events, StepRecord) for name in record.values}
    assert names == {"train/loss", "train/accuracy", "grad_norm/total", "lr/group0", "lr/group1"}
