"""A small configurable convolutional baseline."""

from collections.abc import Sequence

from torch import nn

from service.errors import DataError
from service.specs.model import CnnSpec
from worker.engine.models.layers import ACTIVATIONS, hidden_stack, initialise


def build_cnn(spec: CnnSpec, shape: Sequence[int], classes: int) -> nn.Sequential:
    """A network from images of `shape` (height, width, channels) to logits_BK."""
    if len(shape) != 3:
        raise DataError("a `cnn` needs images; this dataset holds features: use the `mlp` family")
    height, width, channels = shape
    layers: list[nn.Module] = []
    for out in spec.channels:
        for _ in range(spec.convs_per_stage):
            layers += _conv(spec, channels, out)
            channels = out
        pool = (2 if height > 1 else 1, 2 if width > 1 else 1)
        layers.append(nn.MaxPool2d(pool))
        height, width = height // pool[0], width // pool[1]
    features = channels * height * width
    head = hidden_stack(
        features, spec.hidden, dropout=spec.dropout, batch_norm=spec.batch_norm, activation=spec.activation
    )
    model = nn.Sequential(
        *layers, nn.Flatten(), *head, nn.Linear(spec.hidden[-1] if spec.hidden else features, classes)
    )
    initialise(model, spec.init)
    return model


def _conv(spec: CnnSpec, channels: int, out: int) -> list[nn.Module]:
    """Conv, BatchNorm, activation; a bias before a BatchNorm would have no effect."""
    conv = nn.Conv2d(channels, out, spec.kernel_size, padding="same", bias=not spec.batch_norm)
    norm = [nn.BatchNorm2d(out)] if spec.batch_norm else []
    return [conv, *norm, ACTIVATIONS[spec.activation]()]
