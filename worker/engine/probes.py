"""Clean probes: 512 fixed training samples in eval mode, once an epoch, through both pipelines.

`clean_loss` (L_c) goes through the train pipeline without its random operations, `val_pipeline_loss` (L_v) through the
validation pipeline: together they tell a preprocessing mismatch from overfitting (METHOD, diagnosis).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from worker.engine.data.batches import Batches
from worker.engine.evaluate import evaluation_mode
from worker.engine.precision import Precision

PROBE_SAMPLES = 512
PROBABILITY_TOLERANCE = 1e-3


@dataclass
class Probe:
    """The fixed samples; `inputs_val` is None when both pipelines give the same tensor."""

    inputs: Tensor
    inputs_val: Tensor | None
    labels_B: Tensor


def build_probe(train: Batches, val: Batches, seed: int) -> Probe:
    """Draws the samples once; both pipelines are applied to the same raw rows."""
    count = min(PROBE_SAMPLES, train.samples)
    chosen = np.sort(np.random.default_rng(seed).permutation(train.samples)[:count])
    positions_B = torch.from_numpy(chosen).to(train.device)
    source = train.source
    inputs = source.plain(positions_B)
    through_val = val.source.normalise(source.rows(positions_B))
    same = torch.allclose(inputs, through_val, atol=1e-5)
    return Probe(inputs, None if same else through_val, source.labels_N[positions_B])


def measure(model: nn.Module, probe: Probe, precision: Precision) -> dict[str, float]:
    """Losses on the probe, the share of dead ReLU units and what kind of numbers the model puts out."""
    with evaluation_mode(model), precision.autocast():
        with dead_units(model) as dead:
            logits_BK = model(probe.inputs).float()
        loss = float(nn.functional.cross_entropy(logits_BK, probe.labels_B))
        other = loss if probe.inputs_val is None else _loss(model, probe.inputs_val, probe.labels_B)
    accuracy = float((logits_BK.argmax(1) == probe.labels_B).float().mean())
    found = {
        "clean_loss": loss,
        "clean_accuracy": accuracy,
        "val_pipeline_loss": other,
        "output_is_probability": float(is_probability(logits_BK)),
        "output_min": float(logits_BK.min()),
        "output_max": float(logits_BK.max()),
    }
    if dead:
        found["dead_relu_share"] = max(dead)
    return found


def is_probability(outputs_BK: Tensor) -> bool:
    """Rows that are never negative and sum to 1: a softmax went before the loss (rule D4)."""
    sums_B = outputs_BK.sum(1)
    return bool((outputs_BK >= 0).all() and ((sums_B - 1).abs() < PROBABILITY_TOLERANCE).all())


def _loss(model: nn.Module, inputs: Tensor, labels_B: Tensor) -> float:
    return float(nn.functional.cross_entropy(model(inputs).float(), labels_B))


@contextmanager
def dead_units(model: nn.Module) -> Iterator[list[float]]:
    """Collects, for each ReLU that runs, the share of its units that are zero for every sample (rule D15)."""
    shares: list[float] = []

    def look(_: nn.Module, __: object, output: Tensor) -> None:
        alive = (output > 0).flatten(2).any(2) if output.ndim > 2 else output > 0
        shares.append(float((~alive.any(0)).float().mean()))

    hooks = [module.register_forward_hook(look) for module in model.modules() if isinstance(module, nn.ReLU)]
    try:
        yield shares
    finally:
        for hook in hooks:
            hook.remove()
