"""Defaults that depend on other fields, the same wherever they are asked for."""

from typing import Any

import pytest

from service.catalog.hyperparameters import OPTIMIZERS, OptimizerName
from service.reports.dataset import DatasetMeta
from service.resolution.defaults import default_model, filled, lowered_lr, normalisation, usual_lr, usual_lr_range
from service.resolution.resolve import training_of
from service.specs import JOB_SPEC
from service.specs.lr_find import LrFindSpec
from service.specs.optimizer import OptimizerSpec
from service.specs.sanity import SanitySpec
from service.specs.train import TrainSpec
from service.specs.tune import TuneSpec
from tests.service.resolution.digits import meta, resolved

VIT: dict[str, Any] = {"family": "torchvision", "arch": "vit_b_16"}


@pytest.mark.parametrize(("name", "lr", "decay"), [("sgd", 1e-2, 1e-4), ("adam", 1e-3, 1e-4), ("adamw", 1e-3, 1e-2)])
def test_null_learning_rate_and_decay_follow_the_optimizer(name: str, lr: float, decay: float) -> None:
    optimizer = training_of(resolved(optimizer={"name": name}).spec)[0].optimizer
    assert (optimizer.lr, optimizer.weight_decay, optimizer.backbone_lr) == (lr, decay, None)


def test_pretrained_layers_get_a_tenth_of_the_heads_learning_rate() -> None:
    model = {"family": "torchvision", "arch": "resnet18", "weights": "IMAGENET1K_V1"}
    optimizer = training_of(resolved(model=model).spec)[0].optimizer
    assert optimizer.lr == 1e-3
    assert optimizer.backbone_lr == pytest.approx(1e-4)


def test_a_learning_rate_from_a_job_stays_a_reference() -> None:
    optimizer = training_of(resolved(optimizer={"lr": {"from_job": "x"}}).spec)[0].optimizer
    assert optimizer.model_dump()["lr"] == {"from_job": "x"}


def test_early_stopping_mode_follows_the_metric() -> None:
    spec = resolved(early_stopping={"metric": "val/accuracy"}).spec
    assert isinstance(spec, TrainSpec)
    assert spec.early_stopping is not None
    assert spec.early_stopping.mode == "max"


def test_transformers_get_a_tenth_of_what_is_usual() -> None:
    spec = training_of(resolved(model=VIT | {"weights": "IMAGENET1K_V1"}).spec)[0]
    assert spec.optimizer.lr == pytest.approx(1e-4) == usual_lr(spec.optimizer, spec.model)
    assert spec.optimizer.backbone_lr == pytest.approx(1e-5)
    assert spec.optimizer.layer_decay == 0.75
    assert usual_lr_range(spec.optimizer, spec.model) == pytest.approx((1e-6, 2e-3))
    assert lowered_lr(spec, 30.0, 10) == 1e-4


@pytest.mark.parametrize("name", list(OPTIMIZERS))
def test_what_is_usual_draws_no_warning_and_is_in_its_own_range(name: OptimizerName) -> None:
    usual = OPTIMIZERS[name]
    assert usual.lr_range[0] < usual.lr < usual.lr_range[1]
    assert usual.weight_decay_range[0] <= usual.weight_decay <= usual.weight_decay_range[1]


def test_every_optimizer_of_a_spec_has_its_usual_values() -> None:
    described = OptimizerSpec.model_json_schema()["properties"]
    assert described["name"]["enum"] == list(OPTIMIZERS)
    assert described["lr"]["description"].startswith("Null: 0.01 for sgd, 0.001 for adam, 0.001 for adamw; 0.1 of that")
    assert described["weight_decay"]["description"].endswith("adamw 0.01..0.1.")


def test_what_a_search_varies_stays_open() -> None:
    tune: dict[str, Any] = {"kind": "tune", "train": {"dataset": "digits"}}
    searched = tune | {"search_space": {"model.dropout": {"type": "float", "low": 0, "high": 0.5}}}
    fixed = tune | {"search_space": {"batch_size": {"type": "int", "low": 16, "high": 64}}}
    assert filled(TuneSpec.model_validate(searched)).train.optimizer.lr is None
    assert filled(TuneSpec.model_validate(fixed)).train.optimizer.lr == 1e-3


TABLE = meta(modality="features", shape=[4], mean=[0.0] * 4, std=[1.0] * 4)


@pytest.mark.parametrize(("data", "family"), [(meta(), "cnn"), (TABLE, "mlp"), (None, None)])
def test_an_open_model_follows_the_data(data: DatasetMeta | None, family: str | None) -> None:
    model = training_of(resolved(data).spec)[0].model
    assert (model.family if model else None) == family


@pytest.mark.parametrize(
    ("paths", "family"),
    [
        (["optimizer.lr"], "cnn"),
        (["model.dropout", "model.activation"], "cnn"),
        (["model.family"], "cnn"),
        (["model.hidden", "model.dropout"], "mlp"),
        (["model.channels"], "cnn"),
        (["model.channels", "model.hidden"], "cnn"),
        (["model.arch", "model.dropout"], "torchvision"),
    ],
)
def test_a_search_has_the_family_whose_fields_it_names(paths: list[str], family: str) -> None:
    model = default_model(meta(), paths)
    assert model is not None
    assert model.family == family


def test_a_sanity_job_has_one_size() -> None:
    spec = filled(SanitySpec.model_validate({"kind": "sanity", "dataset": "digits", "batch_size": 20}))
    assert (spec.samples, spec.batch_size) == (20, 20)


def test_filling_twice_changes_nothing() -> None:
    once = filled(LrFindSpec.model_validate({"kind": "lr-find", "dataset": "digits", "model": VIT}))
    assert filled(once) == once
    assert JOB_SPEC.validate_python(once.model_dump(mode="json")) == once


@pytest.mark.parametrize(
    ("normalize", "shape", "mean", "std"),
    [
        ("none", [8, 8, 1], (0.0,), (1.0,)),
        ("dataset", [8, 8, 1], (0.3,), (0.3,)),
        ("imagenet", [8, 8, 3], (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ("imagenet", [8, 8, 1], ((0.485 + 0.456 + 0.406) / 3,), ((0.229 + 0.224 + 0.225) / 3,)),
    ],
)
def test_normalisation_is_that_of_the_spec(
    normalize: str, shape: list[int], mean: tuple[float, ...], std: tuple[float, ...]
) -> None:
    shift, scale = normalisation(meta(shape=shape), normalize)
    assert shift == pytest.approx(mean)
    assert scale == pytest.approx(std)


def test_features_have_no_imagenet_and_a_constant_one_is_only_centred() -> None:
    features = meta(modality="features", shape=[2], mean=[4.0, 5.0], std=[2.0, 0.0])
    assert normalisation(features, "imagenet") == normalisation(features, "dataset") == ((4.0, 5.0), (2.0, 1.0))
