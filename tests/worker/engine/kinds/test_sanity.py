"""The `sanity` job: one batch is learned, or the report says what is likely to be wrong."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from service.errors import DataError
from service.events import Event, StepRecord
from service.reports.result import CheckupReport, SanityReport
from service.resolution.validation import Limits
from service.specs.sanity import SanitySpec
from service.states import StopReason
from tests.worker.engine.conftest import pack
from tests.worker.engine.runs import StopAt, ended_by, only, reports_of
from worker.engine import run
from worker.engine.context import RunContext
from worker.engine.kinds.sanity import fixed_batch, rates, stratified
from worker.engine.runtime.precision import Precision
from worker.engine.training import setup


def spec_of(**fields: Any) -> SanitySpec:
    quick = {"kind": "sanity", "dataset": "digits", "model": {"family": "mlp", "hidden": [64]}}
    return SanitySpec.model_validate(quick | fields)


def events_of(data: Path, scratch: Path, **fields: Any) -> list[Event]:
    return list(run(spec_of(**fields), RunContext(scratch=scratch, dataset=data)))


def result_of(events: list[Event]) -> SanityReport:
    report = reports_of(events)["result"]
    assert isinstance(report, SanityReport)
    return report


@pytest.mark.parametrize(
    "model",
    [
        {"family": "mlp", "hidden": [64]},
        {"family": "mlp", "hidden": [64], "batch_norm": False, "dropout": 0.5},
        {"family": "cnn", "channels": [8, 16], "hidden": [32]},
    ],
)
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_healthy_network_passes(model: dict[str, Any], optimizer: str, digits: Path, tmp_path: Path) -> None:
    events = events_of(digits, tmp_path, model=model, optimizer={"name": optimizer})
    found = result_of(events)
    assert found.passed
    assert found.accuracy > 0.95
    assert found.eval_accuracy > 0.90
    assert found.causes == []
    assert len(found.attempts) == 1
    assert found.steps == len(found.loss_per_step) == len(found.accuracy_per_step) <= 100
    assert abs(found.initial_loss - math.log(10)) < 0.5 * math.log(10)
    assert isinstance(reports_of(events)["checkup"], CheckupReport)
    assert ended_by(events) is StopReason.COMPLETED


def test_a_batch_that_is_smaller_than_asked_for_is_told(tmp_path: Path) -> None:
    x, y = np.random.default_rng(0).random((20, 4)).astype(np.float32), np.arange(20) % 2
    dataset = pack(tmp_path / "few", x, y, np.zeros(20, np.uint8))
    found = result_of(events_of(dataset, tmp_path, samples=30, model={"family": "mlp", "hidden": [32]}, max_steps=5))
    assert found.batch_size == 20
    assert found.notes == ["the batch has 20 samples, not 30: the train split has no more"]


def test_accuracy_per_step_is_that_of_the_steps_events(digits: Path, tmp_path: Path) -> None:
    events = events_of(digits, tmp_path)
    assert [e.values["train/accuracy"] for e in only(events, StepRecord)] == result_of(events).accuracy_per_step


@pytest.mark.parametrize(("lr", "word", "better"), [(3e-5, "low", 3e-4), (1e-7, "low", 1e-3), (30.0, "high", 1e-3)])
def test_the_learning_rate_is_blamed_first(lr: float, word: str, better: float, digits: Path, tmp_path: Path) -> None:
    model = {"family": "mlp", "hidden": [64] * 3, "batch_norm": False}
    found = result_of(events_of(digits, tmp_path, model=model, optimizer={"name": "adam", "lr": lr}))
    assert not found.passed
    assert found.lr == lr
    assert f"too {word}" in found.causes[0]
    assert f"{better:.2e}" in found.causes[0]
    assert [attempt["lr"] for attempt in found.attempts][:2] == pytest.approx([lr, lr / 10])


def test_a_far_off_rate_is_also_tried_with_the_usual_one() -> None:
    assert rates(spec_of(optimizer={"name": "sgd", "lr": 0.05})) == pytest.approx([0.05, 0.005, 0.5])
    assert rates(spec_of(optimizer={"name": "sgd", "lr": 50})) == pytest.approx([50, 5, 500, 0.01])


def test_contradicting_labels_are_named(tmp_path: Path) -> None:
    x, y = load_digits(return_X_y=True)
    images = np.repeat((x[:50].reshape(-1, 8, 8, 1) * 15.9375).astype(np.uint8), 4, axis=0)
    labels = (np.repeat(y[:50], 4) + np.tile(np.arange(4), 50)) % 10  # each image under four labels
    split = np.where(np.arange(200) % 10 == 9, 1, 0).astype(np.uint8)
    split[-1] = 2
    data = pack(tmp_path / "data", images, labels, split)
    found = result_of(events_of(data, tmp_path, samples=100, max_steps=60))
    assert not found.passed
    assert any("identical to a sample with another label" in cause for cause in found.causes)


def test_a_network_that_is_too_small_fails_at_every_rate(digits: Path, tmp_path: Path) -> None:
    model = {"family": "mlp", "hidden": [1], "batch_norm": False, "activation": "sigmoid"}
    found = result_of(events_of(digits, tmp_path, model=model, max_steps=30))
    assert not found.passed
    assert any("capacity" in cause for cause in found.causes)
    assert [attempt["lr"] for attempt in found.attempts] == pytest.approx([1e-3, 1e-4, 1e-2])


def test_gradients_that_vanish_on_the_way_are_named(digits: Path, tmp_path: Path) -> None:
    model = {"family": "mlp", "hidden": [16] * 20, "batch_norm": False, "activation": "sigmoid"}
    found = result_of(events_of(digits, tmp_path, model=model, max_steps=5))
    assert not found.passed
    assert any("hardly any gradient reaches" in cause and "batch norm" in cause for cause in found.causes)


def test_dropout_weight_decay_and_clipping_are_off(digits: Path, tmp_path: Path) -> None:
    """The first steps are those of a bare loop: nothing but the batch, the network and the optimizer."""
    model = {"family": "mlp", "hidden": [32], "dropout": 0.5, "batch_norm": False}
    optimizer = {"name": "sgd", "lr": 0.1, "weight_decay": 1.0}
    events = events_of(digits, tmp_path, model=model, optimizer=optimizer, max_steps=4)
    assert result_of(events).loss_per_step[:4] == pytest.approx(_bare_losses(digits, model), rel=1e-5)


def _bare_losses(data: Path, model: dict[str, Any]) -> list[float]:
    spec = spec_of(model=model)
    context = RunContext(scratch=data, dataset=data)
    setup.start(spec, context)
    dataset = setup.open_dataset(context)
    precision = Precision.of(spec, "cpu")
    network = setup.build_model(spec, dataset, precision, context)
    batch = fixed_batch(setup.plain_batches(spec, dataset, precision.device, "train", 256), 64, spec.seed)
    network.eval()  # no dropout
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    losses = []
    for _ in range(4):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(network(batch.inputs), batch.labels_B)
        torch.autograd.backward(loss)
        optimizer.step()
        losses.append(loss.item())
    return losses


def test_asked_for_dropout_stays_on(digits: Path, tmp_path: Path) -> None:
    model = {"family": "mlp", "hidden": [32], "dropout": 0.5, "batch_norm": False}
    on = result_of(events_of(digits, tmp_path, model=model, max_steps=5, dropout=True))
    off = result_of(events_of(digits, tmp_path, model=model, max_steps=5))
    assert on.loss_per_step != off.loss_per_step


def test_the_batch_is_drawn_evenly_over_the_classes() -> None:
    labels = np.repeat(np.arange(5), [400, 300, 200, 90, 10])
    counts = np.bincount(labels[stratified(labels, 50, 1)])
    assert counts.tolist() == [10] * 5
    counts = np.bincount(labels[stratified(labels, 64, 1)])
    assert counts[4] == 10
    assert counts.max() - counts[:4].min() <= 1
    assert len(stratified(labels, 5000, 1)) == len(labels)
    assert stratified(labels, 50, 1).tolist() == stratified(labels, 50, 1).tolist()
    assert stratified(labels, 50, 1).tolist() != stratified(labels, 50, 2).tolist()


def test_two_runs_of_one_spec_are_identical(digits: Path, tmp_path: Path) -> None:
    first, second = (result_of(events_of(digits, tmp_path)) for _ in range(2))
    assert first == second


def test_a_run_that_is_asked_to_stop_reports_no_verdict(digits: Path, tmp_path: Path) -> None:
    context = RunContext(scratch=tmp_path, dataset=digits, stop=StopAt(3, StopReason.CANCELLED))
    events = list(run(spec_of(), context))
    assert ended_by(events) is StopReason.CANCELLED
    assert "result" not in reports_of(events)
    assert len(only(events, StepRecord)) <= 3


def test_more_than_the_operator_allows_ends_before_the_first_step(digits: Path, tmp_path: Path) -> None:
    context = RunContext(scratch=tmp_path, dataset=digits, limits=Limits(max_parameters=100))
    events = run(spec_of(), context)
    with pytest.raises(DataError, match="this server allows at most 100"):
        assert not any(isinstance(event, StepRecord) for event in events)
