"""The `train` job from its first event to its last."""

import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from service.errors import DataError, DivergedError
from service.events import EpochRecord, Event, FileSaved, Log, Phase, Progress, StepRecord
from service.reports.result import CheckupReport, TrainResult
from service.resolution.estimates import parameters
from service.specs.model import CnnSpec
from service.specs.train import TrainSpec
from service.states import StopReason
from tests.worker.engine.conftest import pack
from tests.worker.engine.runs import (
    StopAt,
    ended_by,
    epochs_of,
    events_of,
    last_state,
    only,
    reports_of,
    spec_of,
    steps_of,
    train,
)
from worker.engine import models
from worker.engine.context import RunContext
from worker.engine.runtime.precision import Precision
from worker.engine.training import checkpoints
from worker.engine.training.evaluate import evaluate
from worker.engine.training.loop import PROGRESS_SECONDS
from worker.engine.training.setup import open_dataset, plain_batches


@pytest.fixture(scope="module")
def default_run(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Event]:
    """`{"kind": "train", "dataset": "digits"}`, to the end."""
    return train(digits, tmp_path_factory.mktemp("default"), TrainSpec(kind="train", dataset="digits"))


def test_default_spec_reaches_the_promised_accuracy_on_digits(default_run: list[Event]) -> None:
    result: TrainResult = reports_of(default_run)["result"]
    assert result.test["accuracy"] >= 0.96
    assert result.parameters == parameters(CnnSpec(), [8, 8, 1], 10)
    assert ended_by(default_run) is StopReason.COMPLETED


def test_phases_come_in_order_and_every_report_arrives(default_run: list[Event]) -> None:
    assert [event.name for event in only(default_run, Phase)] == ["loading", "checkup", "training", "testing"]
    assert list(reports_of(default_run)) == [
        "environment",
        "checkup",
        "report:val",
        "confusion:val",
        "report:test",
        "confusion:test",
        "result",
    ]
    assert {event.role for event in only(default_run, FileSaved)} == {"last", "best", "model"}


def test_each_optimizer_step_is_recorded_once(default_run: list[Event]) -> None:
    records = only(default_run, StepRecord)
    assert [record.step for record in records] == list(range(1, 20 * 23 + 1))
    assert all({"train/loss", "train/accuracy", "grad_norm/total", "lr/group0"} <= set(r.values) for r in records)
    with_gradients = [record.step for record in records if "grad/1.weight/norm" in record.values]
    assert with_gradients == list(range(1, 461, 50))
    watched = [record.step for record in records if "update_ratio" in record.values]
    assert watched == [1, *range(5, 51, 5)]


def test_progress_is_throttled_and_ends_at_one(default_run: list[Event]) -> None:
    """At most one in 0.2 s of training, one where an epoch begins and one where it ends."""
    fractions = [event.fraction for event in only(default_run, Progress)]
    epochs = only(default_run, EpochRecord)
    assert len(fractions) <= sum(epoch.seconds for epoch in epochs) / PROGRESS_SECONDS + 2 * len(epochs) + 1
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0


def test_epochs_carry_the_clean_probes(default_run: list[Event]) -> None:
    last = only(default_run, EpochRecord)[-1]
    assert last.probes["clean_loss"] < last.val["loss"]
    assert last.probes["val_pipeline_loss"] == last.probes["clean_loss"]
    assert last.probes["output_is_probability"] == 0.0
    assert 0 <= last.probes["dead_relu_share"] <= 1


def test_checkup_of_a_healthy_job_passes_every_check(default_run: list[Event]) -> None:
    checkup: CheckupReport = reports_of(default_run)["checkup"]
    assert [check.name for check in checkup.checks if not check.passed] == []
    assert not [log for log in only(default_run, Log) if log.level == "warning"]


def test_final_reports_use_the_best_weights(digits: Path, tmp_path: Path) -> None:
    spec = spec_of(
        epochs=15, optimizer={"name": "sgd", "lr": 0.5}, schedule={"name": "constant"}, model={"family": "mlp"}
    )
    events = train(digits, tmp_path, spec)
    epochs, result = only(events, EpochRecord), reports_of(events)["result"]
    best = min(epochs, key=lambda epoch: epoch.val["loss"])
    assert best.epoch != len(epochs)
    assert result.best_epoch == best.epoch
    assert result.best == best.val
    assert reports_of(events)["report:val"].loss == best.val["loss"]


def test_model_file_alone_gives_the_reported_numbers(digits: Path, tmp_path: Path) -> None:
    spec = spec_of()
    events = train(digits, tmp_path, spec)
    file = next(event for event in only(events, FileSaved) if event.role == "model")
    with safe_open(file.path, "pt") as opened:
        assert {"model", "classes", "shape", "modality", "mean", "std"} <= set(opened.metadata())
    model = models.build(spec.network, [8, 8, 1], 10)
    model.load_state_dict(load_file(file.path))
    dataset = open_dataset(RunContext(scratch=tmp_path, dataset=digits))
    test = plain_batches(spec, dataset, torch.device("cpu"), "test", 64)
    found = evaluate(model, test, Precision(torch.device("cpu")))
    assert found.accuracy == reports_of(events)["report:test"].accuracy


@pytest.mark.parametrize(
    ("model", "size"),
    [
        ({"family": "mlp"}, 256),
        ({"family": "torchvision", "arch": "resnet18"}, 256),
        ({"family": "torchvision", "arch": "resnet18", "image_size": 64}, 16),
        ({"family": "torchvision", "arch": "vit_b_16", "image_size": 224}, 16),
    ],
)
def test_enlarged_images_are_evaluated_in_the_trainings_batch_size(
    few_digits: Path, tmp_path: Path, model: dict[str, Any], size: int
) -> None:
    dataset = open_dataset(RunContext(scratch=tmp_path, dataset=few_digits))
    assert plain_batches(spec_of(model=model), dataset, torch.device("cpu"), "val", 16).batch_size == size


def test_same_seed_gives_identical_series_and_another_seed_does_not(few_digits: Path, tmp_path: Path) -> None:
    spec = spec_of(model={"family": "cnn", "channels": [4], "hidden": [16]}, augment="light")
    first, second = (train(few_digits, tmp_path / name, spec) for name in ("a", "b"))
    assert steps_of(first) == steps_of(second)
    assert epochs_of(first) == epochs_of(second)
    other = train(few_digits, tmp_path / "c", spec.replace(seed=43))
    assert steps_of(other) != steps_of(first)


def test_early_stopping_ends_the_run_and_says_so(few_digits: Path, tmp_path: Path) -> None:
    spec = spec_of(epochs=50, early_stopping={"patience": 2, "min_delta": 10.0})
    events = train(few_digits, tmp_path, spec)
    assert len(only(events, EpochRecord)) == 3
    assert ended_by(events) is StopReason.EARLY_STOPPED
    assert reports_of(events)["result"].stop_reason is StopReason.EARLY_STOPPED


def test_early_stopping_can_be_switched_off(few_digits: Path, tmp_path: Path) -> None:
    events = train(few_digits, tmp_path, spec_of(epochs=12, early_stopping=None, optimizer={"lr": 1e-9}))
    assert len(only(events, EpochRecord)) == 12


def test_stop_takes_effect_at_the_next_step_and_keeps_a_checkpoint(few_digits: Path, tmp_path: Path) -> None:
    events = train(few_digits, tmp_path, spec_of(), stop=StopAt(4))
    assert list(steps_of(events)) == [1, 2, 3, 4]
    assert last_state(events).step == 4
    assert ended_by(events) is StopReason.PAUSED
    assert "result" not in reports_of(events)


def test_stop_during_validation_does_not_wait_for_its_end(few_digits: Path, tmp_path: Path) -> None:
    events = train(
        few_digits, tmp_path, spec_of(), stop=StopAt(6, StopReason.CANCELLED)
    )  # the sixth: after val's batch
    assert list(steps_of(events)) == [1, 2, 3, 4, 5]
    assert not only(events, EpochRecord)
    assert ended_by(events) is StopReason.CANCELLED
    resumed = train(few_digits, tmp_path / "resumed", spec_of(), resume_from=last_state(events).path)
    assert epochs_of(resumed) == epochs_of(train(few_digits, tmp_path / "whole", spec_of()))


def test_run_that_a_finding_stopped_still_reports(few_digits: Path, tmp_path: Path) -> None:
    events = train(few_digits, tmp_path, spec_of(epochs=9), stop=StopAt(22, StopReason.FINDING))
    assert ended_by(events) is StopReason.FINDING
    assert reports_of(events)["result"].stop_reason is StopReason.FINDING


def test_no_two_resume_states_share_a_name(few_digits: Path, tmp_path: Path) -> None:
    spec = spec_of(checkpoint={"every_steps": 1, "every_seconds": 0})
    names = [event.name for event in only(train(few_digits, tmp_path, spec), FileSaved) if event.role == "last"]
    assert len(names) == len(set(names)) == 15


def test_divergence_keeps_the_last_good_state_and_tells_what_to_do(few_digits: Path, tmp_path: Path) -> None:
    spec = spec_of(
        model={"family": "mlp", "hidden": [32] * 4, "dropout": 0.2, "batch_norm": False, "activation": "leaky_relu"},
        optimizer={"name": "sgd", "lr": 100.0},
        clip_norm=None,
        schedule={"name": "constant"},
    )
    events: list[Event] = []
    with pytest.raises(DivergedError, match=r"at step \d+ .*batch \d+.*Try `optimizer.lr` 0.01 and `clip_norm` 1.0"):
        events.extend(events_of(few_digits, tmp_path / "bad", spec))
    steps = steps_of(events)
    bad = max(steps)
    finite = {step: all(map(math.isfinite, values.values())) for step, values in steps.items()}
    assert [step for step in finite if not finite[step]] == [bad]
    kept = last_state(events)
    assert kept.step == bad - 1
    stopped = train(few_digits, tmp_path / "good", spec, stop=StopAt(_asked(events)))
    good, state = checkpoints.load(last_state(stopped).path), checkpoints.load(kept.path)
    assert good["step"] == state["step"]
    assert all(torch.equal(good["model"][name], state["model"][name]) for name in good["model"])
    assert torch.equal(good["generators"]["torch"], state["generators"]["torch"])


def _asked(events: list[Event]) -> int:
    """How often `stop` was asked up to the last good step: after each step and each batch of val (one an epoch)."""
    return len(steps_of(events)) - 1 + len(only(events, EpochRecord))


def test_features_that_are_not_finite_end_the_run_at_once(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(200, 6)).astype(np.float32)
    data = pack(tmp_path / "data", x, np.arange(200) % 2, np.arange(200, dtype=np.uint8) % 3)
    spoiled = np.load(data / "x.npy")
    spoiled[0] = np.nan
    np.save(data / "x.npy", spoiled)
    with pytest.raises(DivergedError, match="data are not finite"):
        train(data, tmp_path, spec_of())


def test_features_train_with_an_mlp_and_are_refused_by_a_cnn(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    y = np.arange(600) % 3
    x = (rng.normal(size=(600, 5)) + 3 * y[:, None] * [1, 0, 2, 0, 1]).astype(np.float32)
    data = pack(tmp_path / "data", x, y, np.repeat(np.array([0, 1, 2], np.uint8), 200))
    assert (
        reports_of(train(data, tmp_path, spec_of(epochs=20, optimizer={"lr": 0.03})))["result"].test["accuracy"] > 0.9
    )
    with pytest.raises(DataError, match="needs images"):
        train(data, tmp_path, spec_of(model={"family": "cnn"}))


def test_data_that_do_not_fit_the_spec_are_refused_with_the_reason(digits: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="3 values for 10 classes"):
        train(digits, tmp_path, spec_of(loss={"class_weights": [1, 1, 1]}))
    x = np.zeros((10, 4, 4, 1), np.uint8)
    no_val = pack(tmp_path / "data", x, np.arange(10) % 2, np.zeros(10, np.uint8))
    with pytest.raises(DataError, match="val split is empty"):
        train(no_val, tmp_path, spec_of())


def test_dataset_without_a_test_split_still_gives_a_result(tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 255, (90, 4, 4, 1), np.uint8)
    data = pack(tmp_path / "data", x, np.arange(90) % 3, np.repeat(np.array([0, 1], np.uint8), [60, 30]))
    reports = reports_of(train(data, tmp_path, spec_of()))
    assert "report:test" not in reports
    assert reports["result"].test == {}


def test_split_of_one_sample_more_than_whole_batches_trains_with_batch_norm(tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 255, (160, 4, 4, 1), np.uint8)
    data = pack(tmp_path / "data", x, np.arange(160) % 3, np.repeat(np.array([0, 1], np.uint8), [65, 95]))
    for shuffle in (True, False):
        events = train(data, tmp_path, spec_of(batch_size=32, shuffle=shuffle))
        assert len(steps_of(events)) == 3 * 2


def test_seconds_and_speed_count_training_alone(few_digits: Path, tmp_path: Path) -> None:
    started = time.perf_counter()
    result = reports_of(train(few_digits, tmp_path, spec_of()))["result"]
    assert 0 < result.seconds < time.perf_counter() - started
    assert result.samples_per_second == pytest.approx(3 * 300 / result.seconds)
    assert (result.epochs, result.steps) == (3, 15)
