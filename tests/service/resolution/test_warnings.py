"""Advice on specs that are valid but unusual."""

from typing import Any

import pytest

from service.resolution.resolve import Resolution
from tests.service.resolution.digits import meta, resolved


def codes(resolution: Resolution) -> set[str]:
    return {advice.code for advice in resolution.warnings}


def test_flips_are_doubted_for_grey_digits_only() -> None:
    colour = meta().model_copy(update={"shape": [8, 8, 3]})
    assert "augment-flips-digits" not in codes(resolved(colour, augment="light"))


def test_a_default_spec_draws_no_advice() -> None:
    assert codes(resolved(meta())) == set()


def test_the_default_batch_size_draws_no_advice_on_few_samples() -> None:
    few = meta(counts={"train": 96, "val": 12, "test": 12})
    assert codes(resolved(few)) == set()
    assert "batch-large" in codes(resolved(few, batch_size=96))


@pytest.mark.parametrize("side", [8, 20, 28, 32, 224])
@pytest.mark.parametrize("preset", ["light", "standard", "strong"])
def test_presets_fit_pictures_of_every_size(preset: str, side: int) -> None:
    pictures = meta(shape=[side, side, 3], classes=["cat", "dog"])
    assert codes(resolved(pictures, augment=preset)) == set()


@pytest.mark.parametrize(
    ("spec", "code"),
    [
        ({"optimizer": {"name": "adamw", "weight_decay": 0.5}}, "weight-decay-unusual"),
        ({"optimizer": {"lr": 1.5}}, "lr-unusual"),
        ({"optimizer": {"name": "adam", "lr": 1e-6}}, "lr-unusual"),
        ({"optimizer": {"name": "sgd", "lr": 0.1}}, "lr-unusual"),
        ({"optimizer": {"weight_decay": 0}}, "no-weight-decay"),
        ({"model": {"family": "mlp", "dropout": 0.6}}, "dropout-high"),
        ({"batch_size": 8}, "batch-small"),
        ({"batch_size": 256}, "batch-large"),
        ({"epochs": 500, "early_stopping": None}, "long-without-early-stopping"),
        ({"shuffle": False}, "no-shuffle"),
        ({"preprocess": {"normalize": "none"}}, "not-normalised"),
        ({"batch_size": 512}, "batch-large"),
        ({"model": {"family": "mlp", "activation": "sigmoid"}}, "init-activation"),
        ({"augment": "light"}, "augment-flips-digits"),
        ({"augment": [{"op": "crop", "padding": 4}]}, "augment-destructive"),
        ({"augment": [{"op": "resized_crop"}]}, "augment-destructive"),
        ({"augment": [{"op": "erasing", "scale": [0.1, 0.6]}]}, "augment-destructive"),
        ({"model": {"family": "torchvision", "weights": "IMAGENET1K_V1"}}, "input-small"),
        ({"model": {"family": "torchvision", "weights": {"upload": "mine"}}}, "input-small"),
        (
            {
                "model": {"family": "torchvision", "weights": {"path": "/w"}},
                "preprocess": {"normalize": "dataset"},
            },
            "normalisation-differs",
        ),
        (
            {
                "model": {"family": "torchvision", "weights": "IMAGENET1K_V1", "mode": "partial"},
                "augment": [{"op": "rotation"}],
            },
            "cache-off",
        ),
        ({"epochs": 3, "model": {"family": "torchvision", "weights": "DEFAULT", "head_epochs": 3}}, "head-epochs"),
        ({"precision": "fp16"}, "precision-on-cpu"),
        ({"model": {"family": "torchvision", "weights": "IMAGENET1K_V1"}}, "transfer-mode"),
    ],
)
def test_unusual_specs_draw_advice(spec: dict[str, Any], code: str) -> None:
    assert code in codes(resolved(meta(), **spec))


@pytest.mark.parametrize(
    "spec",
    [
        {"optimizer": {"name": "sgd", "lr": 0.01}},
        {"batch_size": 8, "accumulate": 8},
        {"epochs": 500},
        {"epochs": 30, "early_stopping": None},
        {"model": {"family": "mlp", "dropout": 0.5}},
    ],
)
def test_usual_specs_draw_none(spec: dict[str, Any]) -> None:
    assert codes(resolved(meta(), **spec)) == set()


def test_weights_of_a_job_and_cached_views_draw_none() -> None:
    model = {"family": "torchvision", "weights": {"from_job": "x"}, "mode": "partial", "views": 4, "head_epochs": 1}
    spec = {"model": model, "augment": [{"op": "rotation"}], "preprocess": {"normalize": "dataset"}}
    drawn = codes(resolved(meta(), **spec))
    assert drawn.isdisjoint({"input-small", "normalisation-differs", "cache-off", "head-epochs"})


def test_a_rate_that_is_usual_elsewhere_is_high_for_a_transformer() -> None:
    optimizer = {"name": "adamw", "lr": 5e-3}
    assert "lr-unusual" not in codes(resolved(optimizer=optimizer))
    warnings = resolved(optimizer=optimizer, model={"family": "torchvision", "arch": "vit_b_16"}).warnings
    assert [warning.detail for warning in warnings if warning.code == "lr-unusual"] == [
        "0.005 is high: the loss may jump or become NaN. Usual for adamw here: 1e-06 to 0.002; an lr-find job tells"
    ]
