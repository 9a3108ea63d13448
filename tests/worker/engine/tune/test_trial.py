"""Trials that diverge, that cannot run, and that share the data of their process."""

from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import save_file
from torch import nn

from service.resolution.validation import Limits
from service.specs import JOB_SPEC
from service.states import StopReason
from tests.worker.engine.runs import ended_by
from tests.worker.engine.searches import HIDDEN, SMALL, make_spec, result_of, tune
from worker.engine.models import torchvision_models


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


def test_trial_over_its_time_is_stopped_and_the_search_goes_on(few_digits: Path, tmp_path: Path) -> None:
    space = {"epochs": {"type": "categorical", "choices": [1, 5000]}}
    train = {"epochs": 5000, "early_stopping": None}
    spec = make_spec(space, train=train, sampler="grid", pruner="none", limits={"trial_seconds": 3})
    events = tune(few_digits, tmp_path, spec)
    by_epochs = {trial.params["epochs"]: trial for trial in result_of(events).data}
    assert (by_epochs[1].state, by_epochs[1].reason) == ("complete", None)
    assert by_epochs[5000].state == "pruned"
    assert by_epochs[5000].reason == "stopped: it took longer than `limits.trial_seconds`, 3 s"
    assert ended_by(events) is StopReason.COMPLETED


def test_only_a_search_may_limit_the_time_of_trials() -> None:
    with pytest.raises(ValidationError, match="is for `tune` jobs"):
        JOB_SPEC.validate_python({"kind": "train", "dataset": "digits", "limits": {"trial_seconds": 3}})


def test_values_that_do_not_go_together_fail_their_trial_only(few_digits: Path, tmp_path: Path) -> None:
    space = {"model.hidden": {**HIDDEN, "depth": [1, 2], "width": [16, 16]}}
    base = {"model": {"family": "mlp", "hidden": [16], "dropout": [0.1]}}
    found = result_of(tune(few_digits, tmp_path, make_spec(space, train=base, sampler="random", n_trials=8)))
    by_depth = {len(trial.params["model.hidden"]): trial for trial in found.data}
    assert by_depth[1].state != "failed"
    assert by_depth[2].state == "failed"
    assert "1 rates for 2 hidden layers" in (by_depth[2].reason or "")


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
    # The training images once, not once a trial; and a batch twice in the check-ups of the first and the best trial.
    assert seen.count(64) == 300 // 64 + 4


def test_trials_that_the_operator_does_not_allow_fail_and_others_go_on(few_digits: Path, tmp_path: Path) -> None:
    space = {"epochs": {"type": "categorical", "choices": [1, 2]}}
    spec = make_spec(space, sampler="grid", n_trials=2)
    found = result_of(tune(few_digits, tmp_path, spec, limits=Limits(max_epochs=1)))
    assert {trial.params["epochs"]: trial.state for trial in found.data} == {1: "complete", 2: "failed"}
    assert "at most 1 epochs" in next(trial.reason or "" for trial in found.data if trial.state == "failed")
