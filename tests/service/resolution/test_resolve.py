"""Defaults, refusals, advice and estimates of specs."""

from typing import Any

import pytest

from service.catalog import pretraining
from service.errors import SpecError
from service.reports.dataset import DatasetMeta
from service.resolution.estimates import parameters
from service.resolution.resolve import Resolution, resolve, training_of
from service.resolution.validation import Limits
from service.specs import JOB_SPEC
from service.specs.model import CnnSpec, MlpSpec, ModelSpec, TorchvisionSpec
from service.specs.train import TrainSpec
from worker.engine import models


def meta(**changes: Any) -> DatasetMeta:
    """Facts like those of `digits`."""
    facts: dict[str, Any] = {
        "modality": "image",
        "classes": [str(n) for n in range(10)],
        "shape": [8, 8, 1],
        "counts": {"train": 1437, "val": 180, "test": 180},
        "mean": [0.3],
        "std": [0.3],
    }
    return DatasetMeta.model_validate(facts | changes)


def resolved(data: DatasetMeta | None = None, **spec: Any) -> Resolution:
    body = {"kind": "train", "dataset": "digits"} | spec
    return resolve(JOB_SPEC.validate_python(body), Limits(max_epochs=1000, max_parameters=10**8), data)


def codes(resolution: Resolution) -> set[str]:
    return {advice.code for advice in resolution.warnings}


def pointers(data: DatasetMeta | None = None, **spec: Any) -> list[str]:
    with pytest.raises(SpecError) as caught:
        resolved(data, **spec)
    return [error.pointer for error in caught.value.errors]


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


def test_flips_are_doubted_for_grey_digits_only() -> None:
    colour = meta().model_copy(update={"shape": [8, 8, 3]})
    assert "augment-flips-digits" not in codes(resolved(colour, augment="light"))


def test_a_default_spec_draws_no_advice() -> None:
    assert codes(resolved(meta())) == set()


@pytest.mark.parametrize(
    ("spec", "code"),
    [
        ({"optimizer": {"name": "adamw", "weight_decay": 0.5}}, "weight-decay-unusual"),
        ({"optimizer": {"lr": 1.5}}, "lr-unusual"),
        ({"shuffle": False}, "no-shuffle"),
        ({"preprocess": {"normalize": "none"}}, "not-normalised"),
        ({"batch_size": 512}, "batch-large"),
        ({"model": {"family": "mlp", "activation": "sigmoid"}}, "init-activation"),
        ({"augment": "light"}, "augment-flips-digits"),
        ({"precision": "fp16"}, "precision-on-cpu"),
        ({"model": {"family": "torchvision", "weights": "IMAGENET1K_V1"}}, "transfer-mode"),
    ],
)
def test_unusual_specs_draw_advice(spec: dict[str, Any], code: str) -> None:
    assert code in codes(resolved(meta(), **spec))


@pytest.mark.parametrize(
    ("spec", "pointer"),
    [
        ({"epochs": 1001}, "/epochs"),
        ({"model": {"family": "mlp", "hidden": [8, 8], "dropout": [0.1]}}, "/model/dropout"),
        ({"model": {"family": "torchvision", "arch": "resnet81"}}, "/model/arch"),
        ({"model": {"family": "torchvision", "weights": "IMAGENET1K_V9"}}, "/model/weights"),
        ({"model": {"family": "torchvision", "mode": "partial"}}, "/model/mode"),
        ({"model": {"family": "mlp", "hidden": [16384, 16384]}}, "/model"),
        ({"optimizer": {"name": "adam", "nesterov": True}}, "/optimizer/nesterov"),
        ({"loss": {"class_weights": [1.0, 2.0]}}, "/loss/class_weights"),
        ({"batch_size": 1}, "/batch_size"),
    ],
)
def test_what_cannot_work_is_refused_with_its_pointer(spec: dict[str, Any], pointer: str) -> None:
    assert pointers(meta(), **spec) == [pointer]


def test_images_only_models_are_refused_for_features() -> None:
    features = meta(modality="features", shape=[30], mean=[0.0] * 30, std=[1.0] * 30)
    assert pointers(features, model={"family": "cnn"}) == ["/model/family"]


def test_search_space_paths_and_ends_are_checked() -> None:
    train = {"dataset": "digits", "augment": [{"op": "mixup"}], "early_stopping": None}
    space = {
        "optimizer.learning_rate": {"type": "float", "low": 0.1, "high": 0.2},
        "model.dropout": {"type": "float", "low": 0.1, "high": 1.5},
        "model.hidden": {"type": "layers"},
        "augment.0.alpha": {"type": "float", "low": 0.1, "high": 0.4},
        "early_stopping.patience": {"type": "int", "low": 3, "high": 9},
        "labels.a/b": {"type": "int", "low": 3, "high": 9},
    }
    with pytest.raises(SpecError) as caught:
        resolve(JOB_SPEC.validate_python({"kind": "tune", "train": train, "search_space": space}), Limits())
    assert [e.pointer for e in caught.value.errors] == [
        "/search_space/optimizer.learning_rate",
        "/search_space/model.dropout",
        "/search_space/labels.a~1b",
    ]


def test_parameters_are_counted_exactly() -> None:
    ours: list[ModelSpec] = [
        MlpSpec(),
        MlpSpec(hidden=[], batch_norm=False),
        MlpSpec(hidden=[32, 16, 8], batch_norm=False),
        CnnSpec(),
        CnnSpec(channels=[8, 16, 24, 32], convs_per_stage=2, kernel_size=5, hidden=[], batch_norm=False),
    ]
    for spec in ours:
        built = models.build(spec, [12, 10, 3], 7)
        assert parameters(spec, [12, 10, 3], 7).total == sum(p.numel() for p in built.parameters())
    resnet = parameters(TorchvisionSpec(family="torchvision", arch="resnet18"), [224, 224, 3], 1000)
    assert resnet.total == 11_689_512


def test_estimates_need_the_dataset() -> None:
    assert resolved().estimates is None
    estimates = resolved(meta(), epochs=3).estimates
    assert estimates is not None
    assert estimates.steps == 3 * 23


def test_recommended_mode_follows_the_data() -> None:
    modes = [pretraining.recommended_mode(n).mode for n in (50, 999, 1000, 9999, 10_000, 10**6)]
    assert modes == ["feature_extraction", "feature_extraction", "partial", "partial", "full", "full"]
