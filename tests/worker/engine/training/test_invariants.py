"""Common errors of training code cannot happen in this engine."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from service.events import StepRecord
from service.resolution.presets import PRESETS
from service.specs.train import TrainSpec
from tests.worker.engine.runs import spec_of
from worker.engine.context import RunContext
from worker.engine.training import loop
from worker.engine.training.evaluate import evaluate
from worker.engine.training.setup import build_run
from worker.engine.training.state import TrainingState

CNN = {"family": "cnn", "channels": [4], "hidden": [8], "dropout": 0.3}


def run_of(data: Path, scratch: Path, **fields: Any) -> TrainingState:
    return build_run(spec_of(**{"model": CNN} | fields), RunContext(scratch=scratch, dataset=data))


class Watcher(nn.Module):
    """Passes its input on and writes down in which mode it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.modes: list[bool] = []

    def forward(self, x: Tensor) -> Tensor:
        self.modes.append(self.training)
        return x


def test_evaluation_runs_every_module_in_eval_mode_and_without_gradients(few_digits: Path, tmp_path: Path) -> None:
    run = run_of(few_digits, tmp_path)
    watcher = Watcher()
    model = nn.Sequential(run.model, watcher).train()
    evaluate(model, run.splits.val, run.precision)
    assert watcher.modes == [False]
    assert all(module.training for module in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_evaluation_gives_each_module_its_own_mode_back(few_digits: Path, tmp_path: Path) -> None:
    run = run_of(few_digits, tmp_path)
    run.model.train()
    frozen = next(module for module in run.model.modules() if isinstance(module, nn.BatchNorm2d)).eval()
    evaluate(run.model, run.splits.val, run.precision)
    assert not frozen.training
    assert run.model.training


def test_validation_and_probes_leave_weights_and_batch_norm_statistics_alone(few_digits: Path, tmp_path: Path) -> None:
    run = run_of(few_digits, tmp_path, ema={"decay": 0.9})
    list(loop._train_epoch(run, loop.Clock(run.spec.checkpoint)))
    before = {name: tensor.clone() for name, tensor in run.model.state_dict().items()}
    random = torch.get_rng_state()
    list(loop._finish_epoch(run))
    assert all(torch.equal(before[name], tensor) for name, tensor in run.model.state_dict().items())
    assert torch.equal(random, torch.get_rng_state())


def test_gradients_are_none_before_each_backward_pass(few_digits: Path, tmp_path: Path) -> None:
    run = run_of(few_digits, tmp_path)
    seen: list[bool] = []

    def forward(inputs: Tensor) -> Tensor:
        seen.append(all(parameter.grad is None for parameter in run.model.parameters()))
        logits_BK: Tensor = run.model(inputs)
        return logits_BK

    run.optimizer_step.forward = forward
    list(loop._train_epoch(run, loop.Clock(run.spec.checkpoint)))
    assert seen == [True] * 5


def test_everything_is_on_one_device_and_of_the_right_type(few_digits: Path, tmp_path: Path) -> None:
    run = run_of(few_digits, tmp_path)
    batch = next(iter(run.splits.train.epoch(1)))
    tensors = [*run.model.parameters(), *run.model.buffers(), batch.inputs, batch.labels_B]
    assert {tensor.device for tensor in tensors} == {run.precision.device}
    assert batch.inputs.dtype is torch.float32
    assert batch.labels_B.dtype is torch.int64


def test_training_data_are_shuffled_as_chance_would(digits: Path, tmp_path: Path) -> None:
    run = run_of(digits, tmp_path)
    labels_N = torch.cat([batch.labels_B for batch in run.splits.train.epoch(1)])
    share = float((labels_N[1:] == labels_N[:-1]).float().mean())
    expected = float(((torch.bincount(run.splits.train.labels_N) / run.splits.train.samples) ** 2).sum())
    error = (expected * (1 - expected) / len(labels_N)) ** 0.5
    assert abs(share - expected) < 4 * error


def test_each_epoch_has_an_order_of_its_own_and_all_the_samples(few_digits: Path, tmp_path: Path) -> None:
    run = run_of(few_digits, tmp_path)
    first, second = (torch.cat([batch.indices_B for batch in run.splits.train.epoch(n)]) for n in (1, 2))
    assert not torch.equal(first, second)
    assert torch.equal(first.sort().values, second.sort().values)
    assert len(first) == 300


def test_model_puts_out_logits(few_digits: Path, tmp_path: Path) -> None:
    for family in ("mlp", "cnn"):
        model = run_of(few_digits, tmp_path, model={"family": family}).model
        assert isinstance(list(model.modules())[-1], nn.Linear)


def test_training_data_are_normalised(digits: Path, tmp_path: Path) -> None:
    run = run_of(digits, tmp_path)
    images_BCHW = torch.cat([batch.inputs for batch in run.splits.train.epoch(1)])
    assert abs(float(images_BCHW.mean())) < 1e-2
    assert abs(float(images_BCHW.std()) - 1) < 1e-2


def test_val_images_go_through_the_train_normalisation_and_nothing_random(few_digits: Path, tmp_path: Path) -> None:
    for name in PRESETS:
        run = run_of(few_digits, tmp_path, augment=name)
        once, again = (torch.cat([batch.inputs for batch in run.splits.val.epoch(n)]) for n in (1, 2))
        assert torch.equal(once, again)
        raw = torch.from_numpy(np.load(few_digits / "x.npy")[run.splits.val.indices_N]).permute(0, 3, 1, 2)
        mean, std = run.normalisation.mean[0], run.normalisation.std[0]
        assert torch.allclose(once, (raw / 255 - mean) / std, atol=1e-5)
        assert run.splits.probe is not None
        assert run.splits.probe.through_val is None


def test_two_seeded_replays_of_three_steps_are_identical(few_digits: Path, tmp_path: Path) -> None:
    def three_steps() -> list[dict[str, float]]:
        run = run_of(few_digits, tmp_path, augment="strong")
        events = loop._train_epoch(run, loop.Clock(run.spec.checkpoint))
        return [next(event for event in events if isinstance(event, StepRecord)).values for _ in range(3)]

    assert three_steps() == three_steps()


def test_default_spec_has_a_seed_and_is_deterministic() -> None:
    spec = TrainSpec(kind="train", dataset="digits")
    assert spec.seed == 42
    assert spec.deterministic


@pytest.mark.parametrize("threads", [1, 2])
def test_thread_count_is_the_contexts(threads: int, few_digits: Path, tmp_path: Path) -> None:
    build_run(spec_of(), RunContext(scratch=tmp_path, dataset=few_digits, threads=threads))
    assert torch.get_num_threads() == threads
    torch.set_num_threads(1)
