"""Dotted paths into a spec: what they reach, what they make, and the pointers of what is refused."""

from typing import Any

import pytest

from service.errors import SpecError
from service.resolution.patches import get_path, patched_spec
from service.specs.model import CnnSpec
from service.specs.train import TrainSpec
from service.specs.tune import TuneSpec

SPEC = TrainSpec(kind="train", dataset="digits")
TUNE = TuneSpec.model_validate(
    {
        "kind": "tune",
        "train": {"dataset": "digits"},
        "search_space": {"optimizer.lr": {"type": "float", "low": 1e-4, "high": 1e-2}},
    }
)


def train_spec(**fields: Any) -> TrainSpec:
    return TrainSpec.model_validate({"kind": "train", "dataset": "digits", **fields})


def refused(patch: dict[str, Any], spec: TrainSpec | TuneSpec = SPEC) -> list[tuple[str, str]]:
    with pytest.raises(SpecError) as caught:
        patched_spec(spec, patch)
    return [(error.pointer, error.detail) for error in caught.value.errors]


def test_a_patch_reaches_nested_fields_and_leaves_the_rest() -> None:
    patched = patched_spec(SPEC, {"optimizer.lr": 1e-4, "model.dropout": 0.5, "clip_norm": 1.0})
    assert patched.optimizer.lr == 1e-4
    assert patched.network.dropout == 0.5
    assert patched.epochs == SPEC.epochs


def test_a_patch_and_the_spec_are_left_as_they_were() -> None:
    patch = {"model": {"family": "mlp", "hidden": [64]}, "model.hidden.0": 1}
    patched = patched_spec(SPEC, patch)
    assert patched.network.model_dump()["hidden"] == [1]
    assert patch["model"] == {"family": "mlp", "hidden": [64]}
    assert train_spec() == SPEC


def test_a_patch_may_set_a_whole_part() -> None:
    patched = patched_spec(SPEC.replace(early_stopping=None), {"early_stopping": {"patience": 3}})
    assert patched.early_stopping is not None
    assert patched.early_stopping.patience == 3


def test_a_path_goes_through_the_index_of_a_list() -> None:
    patched = patched_spec(train_spec(augment=[{"op": "erasing"}, {"op": "mixup"}]), {"augment.0.p": 0.25})
    assert patched.model_dump()["augment"][0]["p"] == 0.25


def test_a_path_below_a_null_makes_the_part_with_its_defaults() -> None:
    patched = patched_spec(train_spec(early_stopping=None), {"early_stopping.patience": 3, "ema.decay": 0.9})
    assert patched.early_stopping is not None
    assert (patched.early_stopping.patience, patched.early_stopping.min_delta) == (3, 0.001)
    assert patched.ema is not None
    assert patched.ema.decay == 0.9


def test_of_several_parts_that_may_stand_below_a_null_the_path_chooses() -> None:
    patch = {"model.family": "torchvision", "model.weights.from_job": "x", "optimizer.lr.from_job": "y"}
    dumped = patched_spec(SPEC, patch).model_dump()
    assert dumped["model"]["weights"] == {"from_job": "x"}
    assert dumped["optimizer"]["lr"] == {"from_job": "y"}


def test_names_that_the_client_chose_may_have_dots_and_be_new() -> None:
    patched = patched_spec(
        TUNE, {"search_space.optimizer.lr.high": 0.1, "search_space.clip_norm": {"type": "float", "low": 1, "high": 2}}
    )
    assert patched.search_space["optimizer.lr"].model_dump()["high"] == 0.1
    assert "clip_norm" in patched.search_space
    assert patched_spec(train_spec(labels={"a": "b"}), {"labels.team": "c"}).labels == {"a": "b", "team": "c"}


@pytest.mark.parametrize(
    ("patch", "model"),
    [
        ({"model.family": "cnn"}, {"family": "cnn", "hidden": [8], "batch_norm": False, "dropout": 0.25}),
        ({"model.hidden": [9], "model.family": "cnn"}, {"family": "cnn", "hidden": [9], "batch_norm": False}),
        ({"model.channels.0": 7, "model.family": "cnn"}, {"family": "cnn", "channels": [7, 64]}),
        ({"model.family": "torchvision"}, {"family": "torchvision", "arch": "resnet18", "dropout": 0.3}),
        ({"model.family": "mlp"}, {"family": "mlp", "hidden": [8], "batch_norm": False, "dropout": 0.0}),
    ],
)
def test_another_part_keeps_what_was_asked_for_and_it_knows(patch: dict[str, Any], model: dict[str, Any]) -> None:
    spec = train_spec(model={"family": "mlp", "hidden": [8], "dropout": 0.0, "batch_norm": False})
    assert model.items() <= patched_spec(spec, patch).network.model_dump().items()


def test_a_family_is_chosen_for_an_open_model() -> None:
    assert patched_spec(train_spec(), {"model.family": "cnn"}).model == CnnSpec()


def test_another_schedule_has_its_own_defaults() -> None:
    spec = train_spec(schedule={"name": "cosine", "min_factor": 0.1, "warmup": 0.05})
    assert patched_spec(spec, {"schedule.name": "one-cycle"}).schedule.warmup == 0.3


@pytest.mark.parametrize(
    ("path", "nearest"),
    [
        ("optimizer.rate", "optimizer.lr"),
        ("optimiser.lr", "optimizer.lr"),
        ("lr", "optimizer.lr"),
        ("epochs.count", "epochs"),
        ("early_stopping.patient", "early_stopping.patience"),
        ("augment.3.p", "augment.0.p"),
    ],
)
def test_a_path_that_leads_nowhere_is_told_with_the_nearest(path: str, nearest: str) -> None:
    spec = train_spec(early_stopping=None, augment=[{"op": "erasing"}])
    pointer, detail = refused({path: 1}, spec)[0]
    assert pointer == f"/patch/{path}"
    assert detail.startswith(f"no field `{path}` in the spec")
    if path != "optimizer.rate":
        assert detail.endswith(f"; did you mean `{nearest}`?")


def test_pointers_lead_into_the_patch() -> None:
    faults = refused({"epochs": 0, "model.hidden": [8, -1], "optimizer.x/y": 1})
    assert {pointer for pointer, _ in faults} == {"/patch/epochs", "/patch/model.hidden/1", "/patch/optimizer.x~1y"}


def test_a_fault_of_no_single_value_is_the_whole_patchs() -> None:
    (fault,) = refused({"search_space.optimizer.lr.high": 1e-6}, TUNE)
    assert fault == ("/patch", "/search_space/optimizer.lr: low must not be above high")


def test_the_value_at_a_path_is_found_or_refused() -> None:
    document = {"optimizer": {"lr": 0.1}, "augment": [{"p": 0.5}], "ema": None}
    assert (get_path(document, "optimizer.lr"), get_path(document, "augment.0.p")) == (0.1, 0.5)
    for path in ("optimizer.l", "augment.1", "augment.p", "ema.decay"):
        with pytest.raises(KeyError, match="nothing stands at"):
            get_path(document, path)
