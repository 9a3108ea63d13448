"""What a spec may not say, with a pointer to each field."""

from typing import Any

import pytest

from service.errors import SpecError
from service.reports.dataset import DatasetMeta
from service.resolution.resolve import resolve
from service.resolution.validation import Limits
from service.specs import JOB_SPEC
from tests.service.resolution.digits import meta, resolved


def pointers(data: DatasetMeta | None = None, **spec: Any) -> list[str]:
    with pytest.raises(SpecError) as caught:
        resolved(data, **spec)
    return [error.pointer for error in caught.value.errors]


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
