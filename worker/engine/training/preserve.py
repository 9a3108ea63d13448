"""A model, its optimizer and every generator, exactly as they were, whatever happens in between."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from worker.engine.runtime import seeding


@contextmanager
def untouched(model: nn.Module, optimizer: torch.optim.Optimizer) -> Iterator[None]:
    """Restores parameters, buffers, gradients, modes, optimizer state and generators in `finally`."""
    tensors = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
    modes = [(module, module.training) for module in model.modules()]
    state = copy.deepcopy(optimizer.state_dict())
    generators = seeding.capture()
    try:
        yield
    finally:
        model.load_state_dict(tensors)
        model.zero_grad(set_to_none=True)
        for module, training in modes:
            module.training = training
        optimizer.load_state_dict(state)
        seeding.restore(generators)
