"""The frozen prefix runs once: the same numbers as without the cache, wherever it is kept, and after a resume."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from service.events import Event, Log, Phase
from service.specs.train import TrainSpec
from service.states import StopReason
from tests.worker.engine.runs import StopAt, ended_by, epochs_of, last_state, only, reports_of, spec_of, steps_of, train
from worker.engine.context import RunContext
from worker.engine.data.feature_store import CachedBatches, FeatureStore
from worker.engine.data.packed import PackedDataset
from worker.engine.models import torchvision_models
from worker.engine.training import feature_cache
from worker.engine.training.setup import build_run
from worker.engine.training.state import TrainingState

SMALL = "shufflenet_v2_x0_5"
FLIPS = [{"op": "horizontal_flip"}, {"op": "rotation", "degrees": 20}]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A full weights file of the smallest architecture."""
    torch.manual_seed(7)
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    save_file(torchvision_models.build(SMALL).state_dict(), path)
    return path


def make_spec(mode: str = "partial", *, cached: bool = True, views: int = 1, **fields: object) -> TrainSpec:
    model = {"family": "torchvision", "arch": SMALL, "weights": {"path": "w"}, "mode": mode, "image_size": 32}
    model |= {"cache_frozen": cached, "views": views}
    return spec_of(model=model, early_stopping=None, **({"epochs": 2} | fields))


def both(data: Path, weights: Path, scratch: Path, mode: str, **fields: object) -> list[list[Event]]:
    """The events of a cached and of an uncached run."""
    found = []
    for cached in (True, False):
        folder = scratch / str(cached)
        folder.mkdir()
        found.append(train(data, folder, make_spec(mode, cached=cached, **fields), weights=weights))  # type: ignore[arg-type]
    return found


def losses(events: list[Event]) -> list[float]:
    return [values["train/loss"] for values in steps_of(events).values()]


def cached_run(
    data: Path, weights: Path, scratch: Path, spec: TrainSpec, store: FeatureStore | None = None
) -> TrainingState:
    run = build_run(spec, RunContext(scratch=scratch, dataset=data, weights=weights))
    list(feature_cache.cache(run, store))
    return run


@pytest.mark.parametrize("mode", ["feature_extraction", "partial"])
def test_cached_and_uncached_runs_give_the_same_numbers(
    few_digits: Path, weights: Path, tmp_path: Path, mode: str
) -> None:
    cached, uncached = both(few_digits, weights, tmp_path, mode)
    assert Phase("caching") in cached
    assert Phase("caching") not in uncached
    np.testing.assert_allclose(losses(cached), losses(uncached), rtol=1e-4)
    for ours, theirs in zip(epochs_of(cached), epochs_of(uncached), strict=True):
        assert ours[3] == pytest.approx(theirs[3], rel=1e-3)
        assert ours[6]["clean_loss"] == pytest.approx(theirs[6]["clean_loss"], rel=1e-3)
    first, second = (load_file(tmp_path / str(each) / "model.safetensors") for each in (True, False))
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        torch.testing.assert_close(tensor, second[name], rtol=1e-3, atol=1e-4)
    reports = [reports_of(events) for events in (cached, uncached)]
    assert reports[0]["confusion:test"] == reports[1]["confusion:test"]
    assert reports[0]["checkup"] == reports[1]["checkup"]
    assert reports[0]["result"].parameters == reports[1]["result"].parameters


def test_prefix_sees_each_image_once_the_probe_included(few_digits: Path, weights: Path, tmp_path: Path) -> None:
    seen: list[int] = []

    def count(module: nn.Module, images: tuple[torch.Tensor]) -> None:
        seen.append(len(images[0]))

    hook = nn.modules.module.register_module_forward_pre_hook(
        lambda module, images: (
            count(module, images) if isinstance(module, nn.Conv2d) and module.in_channels == 3 else None
        )
    )
    run = build_run(make_spec(epochs=5), RunContext(scratch=tmp_path, dataset=few_digits, weights=weights))
    try:
        list(feature_cache.cache(run))
        for epoch in range(1, 6):
            for source in (run.splits.train, run.splits.val):
                for batch in source.epoch(epoch):
                    run.model(batch.inputs)
    finally:
        hook.remove()
    shapes = 2
    assert sum(seen) == 300 + 50 + shapes


def test_views_are_the_first_epochs_of_the_augmented_run(few_digits: Path, weights: Path, tmp_path: Path) -> None:
    cached, uncached = both(few_digits, weights, tmp_path, "partial", views=2, augment=FLIPS)
    np.testing.assert_allclose(losses(cached), losses(uncached), rtol=1e-3)


def test_views_are_taken_in_turn(few_digits: Path, weights: Path, tmp_path: Path) -> None:
    run = cached_run(few_digits, weights, tmp_path, make_spec(views=3, augment=FLIPS, shuffle=False))
    assert isinstance(run.splits.train, CachedBatches)
    inputs = [torch.cat([batch.inputs for batch in run.splits.train.epoch(number)]) for number in (1, 2, 3, 4)]
    assert torch.equal(inputs[0], inputs[3])
    assert not torch.equal(inputs[0], inputs[1])
    assert not torch.equal(inputs[1], inputs[2])


def test_mixed_images_keep_their_soft_labels(few_digits: Path, weights: Path, tmp_path: Path) -> None:
    cached, uncached = both(few_digits, weights, tmp_path, "partial", views=2, augment=[{"op": "mixup"}])
    np.testing.assert_allclose(losses(cached), losses(uncached), rtol=1e-3)


def test_one_view_of_an_augmented_run_is_not_cached(few_digits: Path, weights: Path, tmp_path: Path) -> None:
    events = train(few_digits, tmp_path, make_spec(augment=FLIPS, epochs=1), weights=weights)
    assert Phase("caching") not in events
    assert any("`model.views`" in note for note in reports_of(events)["result"].notes)


def test_activations_that_exceed_memory_lie_in_a_file(few_digits: Path, weights: Path, tmp_path: Path) -> None:
    in_memory = cached_run(few_digits, weights, tmp_path, make_spec())
    on_disk = cached_run(
        few_digits, weights, tmp_path, make_spec(), FeatureStore(torch.device("cpu"), tmp_path, 0, 2**30)
    )
    assert len(list(tmp_path.glob("*.bin"))) == 2
    for ours, theirs in zip(in_memory.splits.train.epoch(1), on_disk.splits.train.epoch(1), strict=True):
        assert torch.equal(ours.inputs, theirs.inputs)
        assert torch.equal(ours.labels_B, theirs.labels_B)


def test_activations_that_fit_nowhere_are_not_kept(few_digits: Path, weights: Path, tmp_path: Path) -> None:
    run = cached_run(few_digits, weights, tmp_path, make_spec(), FeatureStore(torch.device("cpu"), tmp_path, 0, 1000))
    assert not isinstance(run.splits.train, CachedBatches)
    assert any("fit neither into memory nor onto the disk" in note for note in run.notes)
    assert list(tmp_path.glob("*.bin")) == []


@pytest.mark.parametrize("cached_first", [True, False])
def test_run_resumes_exactly_with_the_cache_and_goes_on_without_it(
    few_digits: Path, weights: Path, tmp_path: Path, cached_first: bool
) -> None:
    spec = make_spec(ema={"decay": 0.9})
    whole = train(few_digits, _folder(tmp_path, "whole"), spec, weights=weights)
    first = make_spec(ema={"decay": 0.9}, cached=cached_first)
    broken = train(few_digits, _folder(tmp_path, "broken"), first, weights=weights, stop=StopAt(12))
    assert ended_by(broken) is StopReason.PAUSED
    resumed = train(
        few_digits, _folder(tmp_path, "resumed"), spec, weights=weights, resume_from=last_state(broken).path
    )
    np.testing.assert_allclose(losses(broken) + losses(resumed), losses(whole), rtol=0 if cached_first else 1e-3)
    tails = [load_file(tmp_path / name / "model.safetensors") for name in ("whole", "resumed")]
    assert tails[0].keys() == tails[1].keys()
    for name, tensor in tails[0].items():
        torch.testing.assert_close(
            tensor, tails[1][name], rtol=0 if cached_first else 1e-2, atol=0 if cached_first else 1e-3
        )


def _folder(parent: Path, name: str) -> Path:
    folder = parent / name
    folder.mkdir()
    return folder


def test_stop_while_caching_ends_the_run_before_its_first_step(few_digits: Path, weights: Path, tmp_path: Path) -> None:
    events = train(few_digits, tmp_path, make_spec(), weights=weights, stop=StopAt(2, StopReason.CANCELLED))
    assert ended_by(events) is StopReason.CANCELLED
    assert steps_of(events) == {}


def test_full_mode_has_nothing_to_cache(few_digits: Path, weights: Path, tmp_path: Path) -> None:
    events = train(few_digits, tmp_path, make_spec("full", epochs=1), weights=weights)
    assert Phase("caching") not in events
    assert not any("frozen stages" in event.message for event in only(events, Log))


def test_runs_over_one_opened_dataset_share_activations(few_digits: Path, weights: Path, tmp_path: Path) -> None:
    first = cached_run(few_digits, weights, tmp_path, make_spec())
    dataset = PackedDataset.open(few_digits)
    runs = []
    for rate in (1e-3, 1e-2):
        context = RunContext(scratch=tmp_path, dataset=few_digits, weights=weights)
        run = build_run(make_spec(optimizer={"lr": rate}), context, dataset)
        list(feature_cache.cache(run))
        runs.append(run)
    assert isinstance(runs[0].splits.train, CachedBatches)
    assert isinstance(runs[1].splits.train, CachedBatches)
    assert isinstance(first.splits.train, CachedBatches)
    assert runs[0].splits.train.views[0] is runs[1].splits.train.views[0]
    assert runs[0].splits.train.views[0] is not first.splits.train.views[0]
