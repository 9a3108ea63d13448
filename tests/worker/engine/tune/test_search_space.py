"""What a search tries first, and every point of a grid."""

from pathlib import Path

from tests.worker.engine.searches import HIDDEN, LR, make_spec, result_of, tune


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


def test_defaults_have_the_learning_rate_that_the_base_leaves_open(few_digits: Path, tmp_path: Path) -> None:
    (first,) = result_of(tune(few_digits, tmp_path, make_spec(n_trials=1))).data
    assert first.params == {"optimizer.lr": 1e-3}


def test_grid_ends_when_every_point_was_tried(few_digits: Path, tmp_path: Path) -> None:
    space = {"batch_size": {"type": "categorical", "choices": [32, 64]}, "model.hidden": {**HIDDEN, "depth": [1, 1]}}
    found = result_of(tune(few_digits, tmp_path, make_spec(space, sampler="grid", n_trials=50, train={"epochs": 1})))
    points = {(trial.params["batch_size"], tuple(trial.params["model.hidden"])) for trial in found.data}
    assert points == {(size, (width,)) for size in (32, 64) for width in (16, 48, 64)}
    assert len(found.data) == 6
