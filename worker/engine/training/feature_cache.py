"""Frozen layers run once: the features that they put out are cached, and the rest of the network trains on those.

Frozen layers are always in eval mode and never change, so their output for an image is the same in every epoch. With
random augmentation, `views: n` caches n augmented views of each image; epoch e trains on view (e - 1) mod n, which is
what epoch ((e - 1) mod n) + 1 would have seen without the cache.
"""

import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace

import torch
from torch import Tensor

from service.events import Event, Log, Phase
from service.specs.model import TorchvisionSpec
from worker.engine.data.batches import Batch, Batches, BatchSource
from worker.engine.data.feature_store import CachedBatches, Features, FeatureStore, FeatureView, UncachedBatches
from worker.engine.models.stages import StagedNetwork
from worker.engine.runtime import compiling
from worker.engine.runtime.preserve import PassState
from worker.engine.training.optimizers import Ema
from worker.engine.training.probes import Probe
from worker.engine.training.state import TrainingState

LOG_SECONDS = 10.0


def cache(run: TrainingState, store: FeatureStore | None = None) -> Iterator[Event]:
    """Makes the run train the rest of its network on cached features, where that pays and fits; else says why not.

    When `context.stop` has a reason meanwhile, `run.stop_reason` is set and the run is as it was.
    """
    spec, model, train, val = run.spec.model, run.model, run.splits.train, run.splits.val
    if not isinstance(spec, TorchvisionSpec) or not spec.cache_frozen:
        return
    if not isinstance(model, StagedNetwork) or model.frozen_always == 0:
        return
    assert isinstance(train, Batches)
    assert isinstance(val, Batches)
    views = spec.views if train.augmenter else 1
    if train.augmenter and views == 1:
        yield _note(
            run, "every epoch augments anew, so the frozen layers run in each: `model.views` 4 to 8 caches views"
        )
        return
    yield Phase("caching")
    frozen, rest = model.cut()
    extractor = Extractor(run, frozen, store or FeatureStore.of_free_space(train.device, run.context.scratch))
    train_views = yield from extractor.views(train, views)
    val_views = (yield from extractor.views(val, 1)) if train_views else []
    if train_views and val_views:
        count = f"{views} views of {train.samples:,}" if views > 1 else f"{train.samples:,}"
        yield Log(
            f"{len(frozen.stages)} frozen stages ran once for {count} training images; the rest trains on the cache"
        )
        _train_on_features(run, rest, extractor.features, None if train.augmenter else train_views[0])
        run.splits.train, run.splits.val = CachedBatches(train, train_views), CachedBatches(val, val_views)
    elif run.stop_reason is None:
        yield _note(run, "the frozen layers' activations fit neither into memory nor onto the disk: nothing is cached")


class Extractor:
    """Sends images through the frozen stages and stores the features."""

    def __init__(self, run: TrainingState, frozen: StagedNetwork, store: FeatureStore) -> None:
        self.run, self.frozen, self.store = run, frozen.eval(), store
        self._logged_at = time.monotonic()

    @torch.no_grad()
    def features(self, images_BCHW: Tensor) -> Tensor:
        """The output of the frozen stages, in the number format in which the other stages get it."""
        with self.run.precision.autocast():
            output: Tensor = self.frozen(images_BCHW)
        return output

    def views(self, images: Batches, count: int) -> Generator[Event, None, list[FeatureView]]:
        """Features of views 1 to `count` of a split; none when they do not fit or the run is asked to stop. Runs that
        share the split's samples, and agree in everything that the features depend on, share these too.
        """
        key = self._key(images, count)
        if key not in images.source.features:
            views = yield from self._views(images, count)
            if not views:
                return []
            images.source.features[key] = views
        cached: list[FeatureView] = images.source.features[key]
        return cached

    def _key(self, images: Batches, count: int) -> tuple[object, ...]:
        spec = self.run.spec
        model = spec.network.model_dump_json(exclude={"dropout", "head_epochs", "views", "cache_frozen"})
        random = (
            (spec.model_dump_json(include={"augment", "seed", "batch_size", "shuffle"}),) if images.augmenter else ()
        )
        return (model, count, str(self.run.precision), *random)

    def _views(self, images: Batches, count: int) -> Generator[Event, None, list[FeatureView]]:
        sample = self.features(images.source.read(torch.zeros(1, dtype=torch.int64, device=images.device)))
        views = []
        for number, features in enumerate(self.store.allocate(images.samples, count, sample) or [], start=1):
            targets_NK = yield from self._fill(features, images, number)
            if self.run.stop_reason is not None:
                return []
            views.append(FeatureView(features, targets_NK))
        return views

    def _fill(self, features: Features, images: Batches, number: int) -> Generator[Event, None, Tensor | None]:
        """Stores the features of epoch `number` of the images; returns the soft labels when there are any."""
        targets_NK: Tensor | None = None
        missing_N = torch.ones(images.samples, dtype=torch.bool, device=images.device)
        for batch in self._whole_epoch(images, number, missing_N):
            features.write(batch.indices_B, self.features(batch.inputs))
            missing_N[batch.indices_B] = False
            if batch.targets_BK is not None:
                if targets_NK is None:
                    targets_NK = batch.targets_BK.new_zeros((images.samples, batch.targets_BK.shape[1]))
                targets_NK[batch.indices_B] = batch.targets_BK
            self.run.stop_reason = self.run.context.stop()
            if self.run.stop_reason is not None:
                return None
            if time.monotonic() - self._logged_at > LOG_SECONDS:
                self._logged_at = time.monotonic()
                done = images.samples - int(missing_N.sum())
                yield Log(f"view {number}: {done:,} of {images.samples:,} images are cached")
        return targets_NK

    @staticmethod
    def _whole_epoch(images: Batches, number: int, missing_N: Tensor) -> Iterator[Batch]:
        """The epoch's batches, then the samples that an epoch leaves out, not augmented."""
        yield from images.epoch(number)
        rest_B = missing_N.nonzero().flatten()
        if len(rest_B):
            yield Batch(images.source.read(rest_B), images.labels_N[rest_B], rest_B)


def _train_on_features(
    run: TrainingState, rest: StagedNetwork, extract: Callable[[Tensor], Tensor], plain: FeatureView | None
) -> None:
    """Puts the rest of the network in the whole one's place; the optimizer has the same parameters already.

    `plain` holds the training images' features where none is augmented.
    """
    whole, splits, test = run.model, run.splits, run.splits.test
    run.model = rest
    run.optimizer_step.forward = compiling.compiled(rest, run.spec, run.precision.device)
    run.ema = Ema(rest, run.spec.ema) if run.spec.ema else None
    run.before_step = PassState(rest, run.precision.device)
    splits.probe = splits.probe and _on_features(splits.probe, extract, plain)
    run.whole = lambda weights: {**whole.state_dict(), **weights}
    splits.test = lambda: _uncached(test(), extract)


def _uncached(images: BatchSource, extract: Callable[[Tensor], Tensor]) -> BatchSource:
    assert isinstance(images, Batches)
    return UncachedBatches(images, extract)


def _on_features(probe: Probe, extract: Callable[[Tensor], Tensor], plain: FeatureView | None) -> Probe:
    """The probe with features for inputs: the cached ones where the training images are not augmented."""
    ours, theirs = probe.through_train, probe.through_val
    ours = ours.on_features(extract) if plain is None else replace(ours, prepare=plain.features.read)
    return replace(probe, through_train=ours, through_val=theirs and theirs.on_features(extract))


def _note(run: TrainingState, text: str) -> Log:
    run.notes.append(text)
    return Log(text)
