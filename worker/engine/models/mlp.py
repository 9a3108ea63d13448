"""Multi-layer perceptron on flattened samples."""

import math
from collections.abc import Sequence

from torch import nn

from service.specs.model import MlpSpec
from worker.engine.models.layers import hidden_stack, initialise


def build_mlp(spec: MlpSpec, shape: Sequence[int], classes: int) -> nn.Sequential:
    """A network from samples of any `shape` to logits_BK; the output layer is a bare Linear."""
    features = math.prod(shape)
    stack = hidden_stack(
        features, spec.hidden, dropout=spec.dropout, batch_norm=spec.batch_norm, activation=spec.activation
    )
    model = nn.Sequential(nn.Flatten(), *stack, nn.Linear(spec.hidden[-1] if spec.hidden else features, classes))
    initialise(model, spec.init)
    return model
