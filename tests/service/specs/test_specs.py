"""The kinds of jobs, derived from the unions of specs; and what all their parts share."""

from typing import Any, get_args

import pytest
from pydantic import ValidationError

from service.catalog.datasets import BUILTINS, KNOWN
from service.catalog.hyperparameters import BATCH_SIZE, BATCH_SIZES
from service.resolution.presets import PRESETS
from service.specs import INTERNAL_KINDS, JOB_SPEC, KINDS, STORED_SPEC
from service.specs.augmentation import Preset
from service.specs.batch_size import BatchSizeSpec
from service.specs.dataset import BuiltinSource
from service.specs.lr_find import LrFindSpec
from service.specs.requests import JobChanges
from service.specs.train import TrainSpec
from service.specs.tune import TuneRunnerSpec, TuneSpec

SPACE: dict[str, Any] = {"optimizer.lr": {"type": "float", "low": 1e-4, "high": 1e-2}}


def test_kinds_are_the_members_of_the_unions() -> None:
    assert KINDS == ("train", "lr-find", "sanity", "batch-size", "tune")
    assert set(INTERNAL_KINDS) == {"tune-runner", "import"}


@pytest.mark.parametrize("kind", ["train", "lr-find", "sanity", "batch-size"])
def test_a_kind_and_a_dataset_are_enough(kind: str) -> None:
    spec = JOB_SPEC.validate_python({"kind": kind, "dataset": "digits"})
    assert STORED_SPEC.validate_json(spec.model_dump_json()) == spec


def test_clients_do_not_submit_what_the_service_submits_itself() -> None:
    spec = TuneSpec.model_validate({"kind": "tune", "train": {"dataset": "digits"}, "search_space": SPACE})
    runner = TuneRunnerSpec.of(spec, "an id", 2)
    assert STORED_SPEC.validate_json(runner.model_dump_json()) == runner
    with pytest.raises(ValidationError, match="tune-runner"):
        JOB_SPEC.validate_python(runner.model_dump())


def test_all_kinds_start_from_the_usual_batch_size() -> None:
    for spec in (TrainSpec, LrFindSpec, BatchSizeSpec):
        assert spec.model_fields["batch_size"].default == BATCH_SIZE
    assert BatchSizeSpec(kind="batch-size", dataset="digits").candidates == [*BATCH_SIZES]


def test_specs_name_the_datasets_that_the_catalog_knows() -> None:
    assert (BuiltinSource(kind="builtin").name,) == BUILTINS
    assert not set(BUILTINS) & set(KNOWN)


def test_presets_are_those_that_a_spec_may_name() -> None:
    assert get_args(Preset) == tuple(PRESETS)


@pytest.mark.parametrize(
    ("fields", "location", "words"),
    [
        ({"epochs": "3"}, ("epochs",), "a number"),
        ({"epochs": True}, ("epochs",), "a number"),
        ({"clip_norm": "1.0"}, ("clip_norm",), "a number"),
        ({"batch_size": "64"}, ("batch_size",), "a number"),
        ({"shuffle": 0}, ("shuffle",), "true or false"),
        ({"shuffle": "no"}, ("shuffle",), "true or false"),
        ({"optimizer": {"lr": True}}, ("optimizer", "lr"), "a number"),
        ({"top_k": [1, "5"]}, ("top_k",), "a number"),
        ({"model": {"family": "mlp", "hidden": [8, "8"]}}, ("model", "mlp", "hidden"), "a number"),
    ],
)
def test_no_type_is_taken_for_another(fields: dict[str, Any], location: tuple[str, ...], words: str) -> None:
    with pytest.raises(ValidationError, match=words) as caught:
        TrainSpec.model_validate({"kind": "train", "dataset": "digits"} | fields)
    assert [error["loc"] for error in caught.value.errors()] == [location]


def test_whole_numbers_are_whole_however_they_are_written() -> None:
    spec = TrainSpec.model_validate({"kind": "train", "dataset": "digits", "epochs": 3.0, "clip_norm": 1})
    assert (spec.epochs, spec.clip_norm) == (3, 1.0)


def test_a_spec_cannot_be_changed() -> None:
    spec = TrainSpec(kind="train", dataset="digits")
    with pytest.raises(ValidationError, match="frozen"):
        spec.epochs = 3  # type: ignore[misc]
    assert spec.replace(epochs=3).epochs == 3
    with pytest.raises(ValidationError):
        spec.replace(epochs=0)


def test_what_may_be_changed_of_a_job_is_what_describes_it() -> None:
    assert set(JobChanges.model_fields) == {"name", "labels", "priority"}
    assert set(JobChanges.model_fields) < set(TrainSpec.model_fields)


@pytest.mark.parametrize(
    ("dimension", "words"),
    [
        ({"type": "float", "low": 2, "high": 1}, "low must not be above high"),
        ({"type": "int", "low": 0, "high": 8, "log": True}, "must start above 0"),
        ({"type": "float", "low": 1, "high": 8, "log": True, "step": 0.5}, "cannot have a step"),
        ({"type": "int", "low": 1, "high": 8, "log": True, "step": 2}, "cannot have a step"),
        ({"type": "layers", "depth": [3, 1]}, r"depth must be \[least, most\]"),
        ({"type": "layers", "width": [0, 8]}, "greater than or equal to 1"),
        ({"type": "layers", "depth": [1, 100_000_000]}, "less than or equal to 64"),
        ({"type": "categorical", "choices": []}, "at least 1 item"),
    ],
)
def test_a_dimension_is_a_range(dimension: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        TuneSpec.model_validate({"kind": "tune", "train": {"dataset": "digits"}, "search_space": {"x": dimension}})


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"augment": [{"op": "resized_crop", "scale": [1.0, 0.5]}]}, "the first number must not be above the second"),
        ({"kind": "lr-find", "lr_min": 1.0, "lr_max": 0.1}, "lr_min must be below lr_max"),
        ({"optimizer": {"lr": float("inf")}}, "finite"),
    ],
)
def test_fields_that_contradict_each_other_are_refused(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        JOB_SPEC.validate_python({"kind": "train", "dataset": "digits"} | fields)
