"""Networks by spec: one `match`, one builder a family."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import assert_never

from torch import nn

from service.reports.result import Parameters
from service.specs.model import CnnSpec, MlpSpec, ModelSpec, TorchvisionSpec
from worker.engine.models.cnn import build_cnn
from worker.engine.models.mlp import build_mlp
from worker.engine.models.stages import StagedNetwork


def input_elements(spec: ModelSpec, shape: Sequence[int]) -> int:
    """How many numbers one sample has where it enters the layers, after images are enlarged."""
    if not isinstance(spec, TorchvisionSpec) or len(shape) != 3:
        return math.prod(shape)
    from worker.engine.models import transfer

    return transfer.input_elements(spec, shape)


def build(spec: ModelSpec, shape: Sequence[int], classes: int, weights: Path | None = None) -> nn.Module:
    """A network from a batch of samples of `shape` ([height, width, channels] or [features]) to logits_BK.

    Raises DataError when the family does not fit the data, WeightsError when the weights do not fit the network.
    """
    match spec:
        case MlpSpec():
            return build_mlp(spec, shape, classes)
        case CnnSpec():
            return build_cnn(spec, shape, classes)
        case TorchvisionSpec():
            from worker.engine.models.transfer import build_transfer  # torchvision costs a second: only who asks pays

            return build_transfer(spec, shape, classes, weights)
        case _:
            assert_never(spec)


def notes(model: nn.Module) -> list[str]:
    """Sentences for people about how the network was built: which pretrained weights matched, for instance."""
    return list(model.notes) if isinstance(model, StagedNetwork) else []


def begin_epoch(model: nn.Module, epoch: int) -> None:
    """Puts the network into train mode for epoch `epoch` (from 1); a staged one also chooses what trains in it."""
    if isinstance(model, StagedNetwork):
        model.begin_epoch(epoch)
    model.train()


def count_parameters(model: nn.Module) -> Parameters:
    """Total and trainable parameter counts."""
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in model.parameters()]
    return Parameters(total=sum(n for n, _ in sizes), trainable=sum(n for n, trains in sizes if trains))
