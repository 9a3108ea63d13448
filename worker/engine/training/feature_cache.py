"""The frozen prefix runs once: its activations are cached, and the rest of the network trains on them.

What is frozen is always in eval mode and never changes, so its output for an image is the same in every epoch. With
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
from worker.engine.data.feature_store import CachedBatches, PassingBatches, Room, Shelf, View
from worker.engine.models.stages import StagedNetwork
from worker.engine.runtime import compiling
from worker.engine.training.optimizers import Ema
from worker.engine.training.preserve import PassState
from worker.engine.training.probes import Probe
from worker.engine.training.state import TrainingState

LOG_SECONDS = 10.0


def cache(run: TrainingState, room: Room | None = None) -> Iterator[Event]:
    """Makes the run train the rest of its network on cached activations, where that pays and fits; else says why not.

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
    stages, rest = model.cut()
    filler = Filler(run, stages, room or Room.on(train.device, run.context.scratch))
    seen = yield from filler.fill(train, views)
    held = (yield from filler.fill(val, 1)) if seen else []
    if seen and held:
        count = f"{views} views of {train.samples:,}" if views > 1 else f"{train.samples:,}"
        yield Log(
            f"{len(stages.stages)} frozen stages ran once for {count} training images; the rest trains on the cache"
        )
        plain = None if train.augmenter else seen[0]
        _train_the_rest(run, rest, filler.activations, plain)
        run.splits.train, run.splits.val = CachedBatches(train, seen), CachedBatches(val, held)
    elif run.stop_reason is None:
        yield _note(run, "the frozen layers' activations fit neither into memory nor onto the disk: nothing is cached")


class Filler:
    """Sends images through the frozen stages and keeps what comes out."""

    def __init__(self, run: TrainingState, stages: StagedNetwork, room: Room) -> None:
        self.run, self.stages, self.room = run, stages.eval(), room
        self._said = time.monotonic()

    @torch.no_grad()
    def activations(self, images_BCHW: Tensor) -> Tensor:
        """What the frozen stages put out, in the number format in which the rest gets it."""
        with self.run.precision.autocast():
            output: Tensor = self.stages(images_BCHW)
        return output

    def fill(self, images: Batches, copies: int) -> Generator[Event, None, list[View]]:
        """Views 1 to `copies` of a split; nothing when they do not fit or the run is asked to stop. Runs that share the
        split's samples, and agree in everything that the activations depend on, share these too.
        """
        key = self._key(images, copies)
        if key not in images.source.derived:
            views = yield from self._views(images, copies)
            if not views:
                return []
            images.source.derived[key] = views
        found: list[View] = images.source.derived[key]
        return found

    def _key(self, images: Batches, copies: int) -> tuple[object, ...]:
        spec = self.run.spec
        model = spec.model.model_dump_json(exclude={"dropout", "head_epochs", "views", "cache_frozen"})
        random = (
            (spec.model_dump_json(include={"augment", "seed", "batch_size", "shuffle"}),) if images.augmenter else ()
        )
        return (model, copies, str(self.run.precision), *random)

    def _views(self, images: Batches, copies: int) -> Generator[Event, None, list[View]]:
        sample = self.activations(images.source.plain(torch.zeros(1, dtype=torch.int64, device=images.device)))
        views = []
        for number, space in enumerate(self.room.take(images.samples, copies, sample) or [], start=1):
            targets_NK = yield from self._view(images, number, space)
            if self.run.stop_reason is not None:
                return []
            views.append(View(space, targets_NK))
        return views

    def _view(self, images: Batches, number: int, space: Shelf) -> Generator[Event, None, Tensor | None]:
        """Epoch `number` of the images into `space`; returns the soft labels when there are any."""
        targets_NK: Tensor | None = None
        left = torch.ones(images.samples, dtype=torch.bool, device=images.device)
        for batch in self._whole(images, number, left):
            space.put(batch.indices_B, self.activations(batch.inputs))
            left[batch.indices_B] = False
            if batch.targets_BK is not None:
                if targets_NK is None:
                    targets_NK = batch.targets_BK.new_zeros((images.samples, batch.targets_BK.shape[1]))
                targets_NK[batch.indices_B] = batch.targets_BK
            self.run.stop_reason = self.run.context.stop()
            if self.run.stop_reason is not None:
                return None
            if time.monotonic() - self._said > LOG_SECONDS:
                self._said = time.monotonic()
                yield Log(
                    f"view {number}: {images.samples - int(left.sum()):,} of {images.samples:,} images are cached"
                )
        return targets_NK

    @staticmethod
    def _whole(images: Batches, number: int, left: Tensor) -> Iterator[Batch]:
        """The epoch's batches, then the samples that an epoch leaves out, as they are."""
        yield from images.epoch(number)
        rest_B = left.nonzero().flatten()
        if len(rest_B):
            yield Batch(images.source.plain(rest_B), images.labels_N[rest_B], rest_B)


def _train_the_rest(
    run: TrainingState, rest: StagedNetwork, prefix: Callable[[Tensor], Tensor], plain: View | None
) -> None:
    """Puts the rest of the network in the whole one's place; the optimizer has the same parameters already.

    `plain` holds the training images' activations where none is augmented.
    """
    whole, splits, test = run.model, run.splits, run.splits.test
    run.model = rest
    run.optimizer_step.forward = compiling.compiled(rest, run.spec, run.precision.device)
    run.ema = Ema(rest, run.spec.ema) if run.spec.ema else None
    run.before_step = PassState(rest, run.precision.device)
    splits.probe = splits.probe and _behind(splits.probe, prefix, plain)
    run.whole = lambda weights: {**whole.state_dict(), **weights}
    splits.test = lambda: _passing(test(), prefix)


def _passing(images: BatchSource, prefix: Callable[[Tensor], Tensor]) -> BatchSource:
    assert isinstance(images, Batches)
    return PassingBatches(images, prefix)


def _behind(probe: Probe, prefix: Callable[[Tensor], Tensor], plain: View | None) -> Probe:
    """The probe with activations for inputs: those at hand where the training images are as they are."""
    ours, theirs = probe.through_train, probe.through_val
    ours = ours.behind(prefix) if plain is None else replace(ours, prepare=plain.activations_N.take)
    return replace(probe, through_train=ours, through_val=theirs and theirs.behind(prefix))


def _note(run: TrainingState, text: str) -> Log:
    run.notes.append(text)
    return Log(text)
