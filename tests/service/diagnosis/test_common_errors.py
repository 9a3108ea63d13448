"""Fourteen common errors, one test each: prevented, refused, or found. Real runs on digits."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from benchmarks.diagnosis.data import prepare
from benchmarks.diagnosis.runs import Setup, execute
from service.diagnosis.common_errors import COMMON_ERRORS
from service.diagnosis.rules import d16_suspicious_val
from service.events import Event, StepRecord
from service.resolution.defaults import filled
from service.resolution.warnings import advise
from service.specs.train import TrainSpec
from worker.engine import run
from worker.engine.context import RunContext
from worker.engine.runtime.precision import Precision
from worker.engine.training.evaluate import evaluate
from worker.engine.training.setup import build_run
from worker.engine.training.state import TrainingState
from worker.engine.training.train_step import take_step

SMALL: dict[str, Any] = {"model": {"family": "mlp", "hidden": [32, 16]}, "epochs": 4}


@pytest.fixture
def context(tmp_path: Path) -> RunContext:
    """160 digits to train on."""
    prepare(tmp_path / "data", "digits", "plain", 3, 160, 60)
    (tmp_path / "scratch").mkdir()
    return RunContext(scratch=tmp_path / "scratch", dataset=tmp_path / "data")


def spec(**fields: Any) -> TrainSpec:
    return filled(TrainSpec.model_validate({"kind": "train", "dataset": "digits"} | SMALL | fields))


@pytest.fixture
def training(context: RunContext) -> TrainingState:
    """A run that is ready for its first step."""
    return build_run(spec(), context)


def named(twist: str = "plain", injection: str | None = None, **patch: Any) -> set[str]:
    """Rules that warn on a run."""
    return execute(Setup("digits", 3, SMALL | patch, twist, injection, 160, 60)).warnings


def losses(happened: list[Event]) -> list[float]:
    return [event.values["train/loss"] for event in happened if isinstance(event, StepRecord)]


def test_the_table_has_a_test_for_each_error() -> None:
    tests = {name.split("_")[1] for name in globals() if name.startswith("test_") and name.split("_")[1].isdigit()}
    assert tests == {f"{error.number:02d}" for error in COMMON_ERRORS}


def test_01_data_that_are_not_normalised_are_found() -> None:
    assert "D2" in named(**{"preprocess.normalize": "none"})


def test_02_a_learning_rate_too_high_is_found() -> None:
    assert named(optimizer={"name": "sgd", "lr": 100.0}, epochs=12) & {"D1", "D10", "D11", "D14"}


def test_03_a_learning_rate_too_low_is_found() -> None:
    assert "D9" in named(optimizer={"name": "adamw", "lr": 1e-7})


def test_04_no_shuffle_is_told_at_submission_and_found() -> None:
    assert "no-shuffle" in {advice.code for advice in advise(spec(shuffle=False), "", None, gpu=False)}
    assert "C2" in named("sorted", shuffle=False)


def test_04_the_default_shuffles_anew_each_epoch(training: TrainingState) -> None:
    orders = [[int(i) for batch in training.splits.train.epoch(number) for i in batch.indices_B] for number in (1, 2)]
    assert orders[0] != orders[1] != sorted(orders[0])
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(160))


def test_05_an_output_that_does_not_match_the_loss_is_found() -> None:
    assert "D4" in named(injection="sigmoid output")


def test_06_no_model_has_a_softmax_and_one_that_had_is_found(training: TrainingState) -> None:
    assert isinstance(list(training.model.modules())[-1], nn.Linear)
    assert "D4" in named(injection="softmax output")


def test_07_a_gpu_is_used_unless_the_spec_refuses_it() -> None:
    assert Precision.of(spec(), "cuda").device.type == "cuda"
    assert Precision.of(spec(device="cpu"), "cuda").device.type == "cpu"


def test_08_gradients_are_gone_before_each_backward_pass(training: TrainingState) -> None:
    seen: list[bool] = []
    training.model.register_forward_pre_hook(
        lambda model, _: seen.append(all(parameter.grad is None for parameter in model.parameters()))
    )
    for batch in list(training.splits.train.epoch(1))[:2]:
        take_step(training, [batch])
    assert seen == [True, True]


def test_09_evaluation_is_in_eval_mode_and_changes_nothing(training: TrainingState) -> None:
    training.model.train()
    before = {name: tensor.clone() for name, tensor in training.model.state_dict().items()}
    modes: list[bool] = []
    hooks = [m.register_forward_hook(lambda m, *_: modes.append(m.training)) for m in training.model.modules()]
    evaluate(training.model, training.splits.val, Precision(torch.device("cpu")))
    for hook in hooks:
        hook.remove()
    assert modes
    assert not any(modes)
    assert all(module.training for module in training.model.modules())
    assert all(torch.equal(tensor, before[name]) for name, tensor in training.model.state_dict().items())


def test_09_a_model_that_never_leaves_train_mode_is_found() -> None:
    assert "C1" in named(injection="never eval", model={"family": "mlp", "dropout": 0.5})


def test_10_train_and_val_share_their_numbers_and_a_difference_is_found(training: TrainingState) -> None:
    assert training.splits.probe is not None
    assert training.splits.probe.through_val is None
    assert "D3" in named(injection="val not normalised", epochs=8)


def test_11_leakage_is_found(tmp_path: Path) -> None:
    profile = prepare(tmp_path, "digits", "leaked", 3, 160, 60)
    assert profile.duplicates["cross_split"] == 20
    assert d16_suspicious_val.RULE.id in named("leaked")


def test_12_batches_are_float32_and_labels_int64(training: TrainingState) -> None:
    batch = next(iter(training.splits.train.epoch(1)))
    assert (batch.inputs.dtype, batch.labels_B.dtype) == (torch.float32, torch.int64)


def test_13_parameters_and_batches_are_on_one_device(training: TrainingState) -> None:
    batch = next(iter(training.splits.train.epoch(1)))
    tensors = [*training.model.parameters(), *training.model.buffers(), batch.inputs, batch.labels_B]
    assert {tensor.device for tensor in tensors} == {training.precision.device}


def test_14_the_same_seed_gives_the_same_run_and_another_seed_another(context: RunContext) -> None:
    first, again, other = (
        losses(list(run(spec(seed=seed, epochs=1), context))) for seed in (spec().seed, spec().seed, 7)
    )
    assert first == again
    assert first != other
