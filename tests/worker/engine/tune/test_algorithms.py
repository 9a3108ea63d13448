"""Every sampler and every pruner of the spec."""

from pathlib import Path

import pytest

from tests.worker.engine.searches import LR, make_spec, result_of, tune


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
