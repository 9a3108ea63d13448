"""The `tune` job: shared data and process, pruned, diverged, killed and impossible trials; the best is the job's."""

import math
from pathlib import Path

import pytest
import torch
from optuna.trial import TrialState
from safetensors.torch import save_file
from torch import nn

from service.errors import RunError
from service.events import EpochRecord, FileSaved, Log, Progress, StepRecord
from service.reports.result import TrainResult
from service.specs.train import TrainSpec
from service.states import StopReason
from tests.worker.engine.runs import StopAt, ended_by, epochs_of, only, reports_of, train
from tests.worker.engine.searches import (
    BASE,
    HIDDEN,
    LR,
    SMALL,
    events_of,
    make_spec,
    result_of,
    study_at,
    study_url,
    tune,
)
from worker.engine.models import torchvision_models
from worker.engine.tune import report


def test_search_reports_every_trial_and_the_best_ones_results(few_digits: Path, tmp_path: Path) -> None:
    events = tune(few_digits, tmp_path, make_spec({"optimizer.lr": LR, "model.hidden": HIDDEN}, n_trials=6))
    found, reports = result_of(events), reports_of(events)
    assert [trial.number for trial in found.data] == list(range(6))
    assert all(reports[f"trial:{trial.number}"] == trial for trial in found.data)
    assert found.best == max(
        (trial for trial in found.data if trial.state == "complete"), key=lambda trial: trial.value or 0.0
    )
    assert set(found.data[0].params) == {"optimizer.lr", "model.hidden"}
    assert isinstance(reports["best"], TrainResult)
    assert found.best is not None
    assert reports["best"].best["accuracy"] == found.best.value
    assert {"report:val", "report:test", "confusion:val", "confusion:test", "checkup"} <= set(reports)
    assert {event.role for event in only(events, FileSaved)} == {"last", "best", "model"}
    assert ended_by(events) is StopReason.COMPLETED
    assert only(events, Progress)[-1].fraction == 1.0
    assert all(math.isclose(sum(found.importances.values()), 1.0) for _ in found.importances)


def test_first_trials_are_the_lr_find_and_the_defaults(few_digits: Path, tmp_path: Path) -> None:
    spec = make_spec(
        {"optimizer.lr": LR, "model.hidden": HIDDEN, "batch_size": {"type": "categorical", "choices": [32, 64]}},
        train={"optimizer": {"name": "adamw", "lr": 2e-3}},
        lr_find=4e-3,
        n_trials=2,
    )
    first, second = result_of(tune(few_digits, tmp_path, spec)).data
    assert first.params == {"optimizer.lr": 4e-3, "model.hidden": [32], "batch_size": 64}
    assert second.params == {"optimizer.lr": 2e-3, "model.hidden": [32], "batch_size": 64}


def test_every_file_has_a_path_of_its_own_however_late_it_is_taken(few_digits: Path, tmp_path: Path) -> None:
    """Two trials, each the best so far, both after the same step."""
    space = {"optimizer.lr": LR | {"low": 1e-7}}
    spec = make_spec(space, train={"epochs": 1, "optimizer": {"lr": 1e-2}}, lr_find=1e-7, n_trials=2, pruner="none")
    saved = [event for event in only(tune(few_digits, tmp_path, spec), FileSaved) if event.role == "best"]
    assert [event.step for event in saved] == [saved[0].step] * 2
    assert len({event.path for event in saved}) == 2


def test_defaults_have_the_learning_rate_that_the_base_leaves_open(few_digits: Path, tmp_path: Path) -> None:
    (first,) = result_of(tune(few_digits, tmp_path, make_spec(n_trials=1))).data
    assert first.params == {"optimizer.lr": 1e-3}


def test_what_matters_is_told_while_the_search_runs(
    few_digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "IMPORTANCES_SECONDS", 0.0)
    events = tune(few_digits, tmp_path, make_spec(train={"epochs": 1}, n_trials=6))
    assert reports_of(events)["importances"].data == {"optimizer.lr": 1.0}


def test_best_trial_is_what_a_train_job_of_its_spec_gives(few_digits: Path, tmp_path: Path) -> None:
    events = tune(few_digits, tmp_path / "tune", make_spec(n_trials=2, pruner="none", confirm_seeds=0))
    best = result_of(events).best
    assert best is not None
    spec = TrainSpec.model_validate({"kind": "train"} | BASE | {"optimizer": {"lr": best.params["optimizer.lr"]}})
    (tmp_path / "train").mkdir()
    alone = train(few_digits, tmp_path / "train", spec)
    assert max(epoch[3]["accuracy"] for epoch in epochs_of(alone)) >= (best.value or 0.0)
    assert reports_of(alone)["result"].best["accuracy"] == best.value
    assert reports_of(alone)["report:test"] == reports_of(events)["report:test"]


def test_curves_of_trials_are_series_of_the_job(few_digits: Path, tmp_path: Path) -> None:
    events = tune(few_digits, tmp_path, make_spec(n_trials=2, pruner="none"))
    points = [(event.epoch, *event.values) for event in only(events, StepRecord)]
    assert points == [(epoch, f"trial/{n}/val/accuracy") for n in range(2) for epoch in (1, 2)]
    assert only(events, EpochRecord) == []


@pytest.mark.parametrize("metric", ["val/loss", "val/macro_f1"])
def test_metric_decides_the_direction(few_digits: Path, tmp_path: Path, metric: str) -> None:
    found = result_of(tune(few_digits, tmp_path, make_spec(metric=metric, n_trials=3, pruner="none")))
    values = [trial.value for trial in found.data if trial.value is not None]
    assert found.best is not None
    assert found.best.value == (min(values) if metric == "val/loss" else max(values))


@pytest.mark.parametrize("sampler", ["auto", "tpe", "gp", "random", "cmaes", "grid"])
def test_every_sampler_searches_numbers(few_digits: Path, tmp_path: Path, sampler: str) -> None:
    space = {"optimizer.lr": LR, "model.dropout": {"type": "float", "low": 0.0, "high": 0.4, "step": 0.2}}
    spec = make_spec(space, train={"epochs": 1}, sampler=sampler, n_trials=13 if sampler in ("gp", "tpe") else 5)
    found = result_of(tune(few_digits, tmp_path, spec))
    assert len(found.data) == spec.n_trials
    assert len({str(trial.params) for trial in found.data}) > spec.n_trials // 2
    assert {trial.params["model.dropout"] for trial in found.data} <= {0.0, 0.2, 0.4}


@pytest.mark.parametrize("pruner", ["auto", "successive_halving", "hyperband", "median", "none"])
def test_every_pruner_runs(few_digits: Path, tmp_path: Path, pruner: str) -> None:
    spec = make_spec(train={"epochs": 4}, pruner=pruner, sampler="random", n_trials=8)
    found = result_of(tune(few_digits, tmp_path, spec))
    pruned = [trial for trial in found.data if trial.state == "pruned"]
    assert all(trial.reason and "after epoch" in trial.reason and "trials" in trial.reason for trial in pruned)
    assert not (pruner == "none" and pruned)
    assert pruned or pruner not in ("auto", "successive_halving")


def test_grid_ends_when_every_point_was_tried(few_digits: Path, tmp_path: Path) -> None:
    space = {"batch_size": {"type": "categorical", "choices": [32, 64]}, "model.hidden": {**HIDDEN, "depth": [1, 1]}}
    found = result_of(tune(few_digits, tmp_path, make_spec(space, sampler="grid", n_trials=50, train={"epochs": 1})))
    points = {(trial.params["batch_size"], tuple(trial.params["model.hidden"])) for trial in found.data}
    assert points == {(size, (width,)) for size in (32, 64) for width in (16, 48, 64)}
    assert len(found.data) == 6


def test_diverged_trial_is_pruned_with_the_reason(few_digits: Path, tmp_path: Path) -> None:
    space = {"optimizer.lr": {"type": "categorical", "choices": [0.01, 100.0]}}
    base = {
        "optimizer": {"name": "sgd", "lr": 0.01},
        "clip_norm": None,
        "model": {"family": "mlp", "batch_norm": False},
    }
    spec = make_spec(space, train=base, sampler="random", n_trials=8)
    found = result_of(tune(few_digits, tmp_path, spec))
    wild = [trial for trial in found.data if trial.params["optimizer.lr"] == 100.0]
    assert wild
    assert all(trial.state == "pruned" for trial in wild)
    assert any(trial.reason and trial.reason.startswith(("D1 nonfinite", "D10 collapsed")) for trial in wild)
    assert found.best is not None
    assert found.best.params["optimizer.lr"] == 0.01


def test_values_that_do_not_go_together_fail_their_trial_only(few_digits: Path, tmp_path: Path) -> None:
    space = {"model.hidden": {**HIDDEN, "depth": [1, 2], "width": [16, 16]}}
    base = {"model": {"family": "mlp", "hidden": [16], "dropout": [0.1]}}
    found = result_of(tune(few_digits, tmp_path, make_spec(space, train=base, sampler="random", n_trials=8)))
    by_depth = {len(trial.params["model.hidden"]): trial for trial in found.data}
    assert by_depth[1].state != "failed"
    assert by_depth[2].state == "failed"
    assert "1 rates for 2 hidden layers" in (by_depth[2].reason or "")


def test_search_in_which_nothing_runs_fails_with_the_reason(few_digits: Path, tmp_path: Path) -> None:
    base = {"model": {"family": "mlp", "hidden": [16], "dropout": [0.1, 0.2]}}
    with pytest.raises(RunError, match=r"none of the first 3 trials could run.*2 rates for 1 hidden layers"):
        tune(few_digits, tmp_path, make_spec(train=base, n_trials=3))


def test_search_ends_without_improvement(few_digits: Path, tmp_path: Path) -> None:
    space = {"gradients.every": {"type": "int", "low": 1, "high": 90}}  # changes nothing that is measured
    spec = make_spec(space, train={"epochs": 1}, sampler="random", n_trials=30)
    found = result_of(tune(few_digits, tmp_path, spec))
    assert len(found.data) == 21
    assert any("the last 20 were no better" in note for note in found.notes)


def test_other_seeds_say_how_far_results_lie_apart(few_digits: Path, tmp_path: Path) -> None:
    events = tune(few_digits, tmp_path, make_spec(n_trials=2, pruner="none", confirm_seeds=2))
    assert any("with seeds 42 to 44" in note and "standard deviation" in note for note in result_of(events).notes)
    assert [event.message.split(":")[0] for event in only(events, Log) if event.message.startswith("seed")] == [
        "seed 43",
        "seed 44",
    ]


def test_narrow_lead_is_called_noise(few_digits: Path, tmp_path: Path) -> None:
    space = {"gradients.every": {"type": "int", "low": 1, "high": 90}}
    notes = result_of(tune(few_digits, tmp_path, make_spec(space, n_trials=3, pruner="none"))).notes
    assert any("within one standard error" in note and "of 50 val samples" in note for note in notes)


@pytest.mark.parametrize("reason", [StopReason.PAUSED, StopReason.CANCELLED])
def test_stop_breaks_a_trial_off_and_a_paused_search_goes_on(
    few_digits: Path, tmp_path: Path, reason: StopReason
) -> None:
    spec = make_spec(n_trials=3, pruner="none")
    stopped = tune(few_digits, tmp_path / "a", spec, study_url=study_url(tmp_path), stop=StopAt(18, reason))
    assert ended_by(stopped) is reason
    broken = result_of(stopped).data[-1]
    assert (broken.state, broken.number) == ("failed", 1)
    again = "run again" if reason is StopReason.PAUSED else "given up"
    assert broken.reason is not None
    assert again in broken.reason
    resumed = result_of(tune(few_digits, tmp_path / "b", spec, study_url=study_url(tmp_path)))
    whole = result_of(tune(few_digits, tmp_path / "c", spec))
    if reason is StopReason.PAUSED:
        assert resumed.data[2].params == broken.params
        assert sum(trial.state == "complete" for trial in resumed.data) == 3
    assert resumed.data[0].model_copy(update={"duration_seconds": 0}) == whole.data[0].model_copy(
        update={"duration_seconds": 0}
    )


def test_killed_trial_is_run_again_and_the_best_ones_weights_are_found(few_digits: Path, tmp_path: Path) -> None:
    spec = make_spec(n_trials=3, pruner="none")
    saved: list[Path] = []
    running = events_of(few_digits, tmp_path / "a", spec, study_url=study_url(tmp_path))
    for event in running:
        if isinstance(event, FileSaved) and event.role == "last":
            saved.append(event.path)
        if isinstance(event, StepRecord) and "trial/1/val/accuracy" in event.values:
            break  # and nothing more is told to the study: the process is gone
    assert study_at(tmp_path).trials[1].state is TrialState.RUNNING
    events = tune(few_digits, tmp_path / "b", spec, study_url=study_url(tmp_path), resume_from=saved[-1])
    found = result_of(events)
    assert [trial.state for trial in found.data] == ["complete", "failed", "complete", "complete"]
    assert found.data[1].reason == "its process died; it is run again"
    assert found.data[2].params == found.data[1].params
    assert found.best is not None
    assert reports_of(events)["best"].best["accuracy"] == found.best.value


def test_trial_that_always_kills_its_process_is_given_up(few_digits: Path, tmp_path: Path) -> None:
    spec = make_spec(n_trials=2, pruner="none")
    for attempt in range(3):
        for event in events_of(few_digits, tmp_path / str(attempt), spec, study_url=study_url(tmp_path)):
            if isinstance(event, StepRecord):
                break
    found = result_of(tune(few_digits, tmp_path / "last", spec, study_url=study_url(tmp_path)))
    assert [trial.state for trial in found.data] == ["failed", "failed", "failed", "complete"]
    assert found.data[2].reason == "its process died; given up"


def test_best_trial_that_was_trained_elsewhere_is_trained_again(few_digits: Path, tmp_path: Path) -> None:
    spec = make_spec(n_trials=2, pruner="none")
    done = tune(few_digits, tmp_path / "a", spec, study_url=study_url(tmp_path))
    again = tune(few_digits, tmp_path / "b", spec, study_url=study_url(tmp_path))
    assert any("is trained again here" in event.message for event in only(again, Log))
    assert result_of(again).data == result_of(done).data
    assert reports_of(again)["report:test"] == reports_of(done)["report:test"]


def test_pretrained_trials_share_the_cached_features(few_digits: Path, tmp_path: Path) -> None:
    save_file(torchvision_models.build(SMALL).state_dict(), tmp_path / "w.safetensors")
    model = {"family": "torchvision", "arch": SMALL, "mode": "feature_extraction", "weights": {"path": "w"}}
    spec = make_spec(train={"model": model}, n_trials=3, pruner="none")
    seen: list[int] = []

    def count(module: nn.Module, images: tuple[torch.Tensor]) -> None:
        if isinstance(module, nn.Conv2d) and module.in_channels == 3:
            seen.append(len(images[0]))

    hook = nn.modules.module.register_module_forward_pre_hook(count)
    try:
        found = result_of(tune(few_digits, tmp_path, spec, weights=tmp_path / "w.safetensors"))
    finally:
        hook.remove()
    assert len(found.data) == 3
    assert seen.count(64) == 300 // 64 + 2  # the training images once, not once a trial; and the check-up's batch
