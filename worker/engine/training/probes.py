"""Clean probes: 256 to 512 fixed training samples in eval mode, once an epoch, through both pipelines.

`clean_loss` (L_c) goes through the train pipeline without its random operations, `val_pipeline_loss` (L_v) through the
validation pipeline: together they tell a preprocessing mismatch from overfitting.

A forward pass costs a third of a training step, so a probe of a 32nd of the samples costs 1 % of the epoch; below 8,000
samples the share grows, since rules need the 256.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from service.diagnosis.thresholds import PROBE_SAMPLES
from worker.engine.data.batches import Batches
from worker.engine.runtime.precision import Precision
from worker.engine.training.evaluate import evaluation_mode

MOST_SAMPLES = 512
PROBE_SHARE = 1 / 32
"""Of the training samples, between `PROBE_SAMPLES` and `MOST_SAMPLES`."""
PROBABILITY_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Samples:
    """Fixed samples of a split, prepared by one pipeline a few at a time: nothing of them is kept.

    `size` of them go through the model at once, as many as in validation: they fit the memory and the caches.
    """

    positions_B: Tensor
    prepare: Callable[[Tensor], Tensor]
    size: int

    def __iter__(self) -> Iterator[Tensor]:
        return map(self.prepare, self.positions_B.split(self.size))

    def on_features(self, extract: Callable[[Tensor], Tensor]) -> "Samples":
        """What frozen layers put out for them, computed once."""
        kept_N = torch.cat([extract(inputs) for inputs in self])
        places_B = torch.arange(len(kept_N), device=kept_N.device)
        return Samples(places_B, lambda some_B: kept_N.index_select(0, some_B), self.size)


@dataclass(frozen=True)
class Probe:
    """The fixed samples; `through_val` is None when both pipelines give the same tensors."""

    through_train: Samples
    through_val: Samples | None
    labels_B: Tensor


def build_probe(train: Batches, val: Batches, seed: int) -> Probe:
    """Draws the samples once; both pipelines are applied to the same raw rows."""
    count = min(MOST_SAMPLES, max(PROBE_SAMPLES, round(PROBE_SHARE * train.samples)), train.samples)
    chosen = np.sort(np.random.default_rng(seed).permutation(train.samples)[:count])
    positions_B = torch.from_numpy(chosen).to(train.device)
    source = train.source
    through_train = Samples(positions_B, source.read, val.batch_size)
    through_val = Samples(positions_B, lambda some_B: val.source.normalise(source.read_stored(some_B)), val.batch_size)
    same = all(torch.allclose(ours, theirs, atol=1e-5) for ours, theirs in zip(through_train, through_val, strict=True))
    return Probe(through_train, None if same else through_val, source.labels_N[positions_B])


def measure(model: nn.Module, probe: Probe, precision: Precision) -> dict[str, float]:
    """Losses on the probe, the share of dead ReLU units and what kind of numbers the model puts out."""
    with evaluation_mode(model), precision.autocast():
        with dead_units(model) as dead:
            logits_BK = _logits(model, probe.through_train)
        loss = _loss(logits_BK, probe.labels_B)
        other = loss if probe.through_val is None else _loss(_logits(model, probe.through_val), probe.labels_B)
    accuracy = float((logits_BK.argmax(1) == probe.labels_B).float().mean())
    values = {
        "clean_loss": loss,
        "clean_accuracy": accuracy,
        "val_pipeline_loss": other,
        "output_is_probability": float(is_probability(logits_BK)),
        "output_min": float(logits_BK.min()),
        "output_max": float(logits_BK.max()),
    }
    return values if dead.largest_share is None else values | {"dead_relu_share": dead.largest_share}


def is_probability(outputs_BK: Tensor) -> bool:
    """Rows that are never negative and sum to 1: a softmax went before the loss (rule D4)."""
    sums_B = outputs_BK.sum(1)
    return bool((outputs_BK >= 0).all() and ((sums_B - 1).abs() < PROBABILITY_TOLERANCE).all())


def _logits(model: nn.Module, samples: Samples) -> Tensor:
    return torch.cat([model(inputs).float() for inputs in samples])


def _loss(logits_BK: Tensor, labels_B: Tensor) -> float:
    return float(nn.functional.cross_entropy(logits_BK, labels_B))


class DeadUnits:
    """Which units of each ReLU were zero for every sample so far; a layer that runs twice in a pass counts twice."""

    def __init__(self) -> None:
        self.dead: list[Tensor] = []
        self._running = 0

    def begin(self, *_: object) -> None:
        """Called before each pass through the model."""
        self._running = 0

    def look(self, _: nn.Module, __: object, output: Tensor) -> None:
        """Called with what a ReLU puts out: nothing of that is negative, so a unit is zero where its sum is."""
        sums_U = output.sum([axis for axis in range(output.ndim) if axis != 1])
        if self._running == len(self.dead):
            self.dead.append(torch.ones_like(sums_U, dtype=torch.bool))
        self.dead[self._running] &= ~(sums_U > 0)
        self._running += 1

    @property
    def largest_share(self) -> float | None:
        """Dead units of the layer that has the largest share of them; None without a ReLU."""
        return max((float(dead_U.float().mean()) for dead_U in self.dead), default=None)


@contextmanager
def dead_units(model: nn.Module) -> Iterator[DeadUnits]:
    """Looks at every ReLU that runs inside the block (rule D15)."""
    dead = DeadUnits()
    hooks = [module.register_forward_hook(dead.look) for module in model.modules() if isinstance(module, nn.ReLU)]
    hooks.append(model.register_forward_pre_hook(dead.begin))
    try:
        yield dead
    finally:
        for hook in hooks:
            hook.remove()
