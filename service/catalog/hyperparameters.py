"""Usual values of what a spec leaves open: learning rates and weight decays of each optimizer, batch sizes, dropout."""

from dataclasses import dataclass
from typing import Literal

OptimizerName = Literal["sgd", "adam", "adamw"]
Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Optimizer:
    """What is usual for one optimizer on networks other than transformers."""

    lr: float
    lr_range: Range
    """Beyond it the loss tends to jump, or hardly moves."""
    weight_decay: float
    weight_decay_range: Range
    states: int
    """Numbers that it keeps for each trained parameter."""


OPTIMIZERS: dict[OptimizerName, Optimizer] = {
    "sgd": Optimizer(lr=1e-2, lr_range=(1e-4, 0.05), weight_decay=1e-4, weight_decay_range=(1e-4, 5e-4), states=1),
    "adam": Optimizer(lr=1e-3, lr_range=(1e-5, 2e-2), weight_decay=1e-4, weight_decay_range=(1e-4, 1e-3), states=2),
    "adamw": Optimizer(lr=1e-3, lr_range=(1e-5, 2e-2), weight_decay=1e-2, weight_decay_range=(1e-2, 1e-1), states=2),
}
TRANSFORMER_SHARE = 0.1
"""Transformers want this share of what is usual for the optimizer."""
BATCH_SIZE = 64
"""A good start; so is 32."""
BATCH_SIZES: tuple[int, ...] = (256, 128, 64, 32)
"""What a search for the batch size tries first, downward."""
LARGEST_BATCH_SHARE = 0.2
"""Of the training samples: more in a batch leave few steps an epoch."""
SMALL_BATCH, LARGE_BATCH = 16, 256
"""Below the first gradients are noisy and epochs slow; from the second on networks tend to generalise worse at the
same learning rate. [Keskar et al., 2017]
"""
LONG_TRAINING = 100
"""Epochs that nobody should plan without early stopping."""
DROPOUT_RANGE: Range = (0.2, 0.5)
