"""Puts a model back as it was: after a step that failed, a look at it, or a training that was only a trial."""

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from worker.engine.runtime import seeding

Weights = Mapping[str, Tensor]


class PassState:
    """What a forward and a backward pass change besides gradients: buffers (BatchNorm's statistics) and torch's
    generators. Cheap enough to be saved before every step, since weights change only when an optimizer moves them.
    """

    def __init__(self, model: nn.Module, device: torch.device) -> None:
        self.device = device
        self.buffers = list(model.buffers())
        self.copies = [buffer.clone() for buffer in self.buffers]
        self.save()

    @torch.no_grad()
    def save(self) -> None:
        """Remembers the state as it is now."""
        self.cpu_generator = torch.get_rng_state()
        self.gpu_generator = torch.cuda.get_rng_state(self.device) if self.device.type == "cuda" else None
        if self.buffers:
            torch._foreach_copy_(self.copies, self.buffers)

    @torch.no_grad()
    def restore(self) -> None:
        """Brings back what was saved last."""
        torch.set_rng_state(self.cpu_generator)
        if self.gpu_generator is not None:
            torch.cuda.set_rng_state(self.gpu_generator, self.device)
        if self.buffers:
            torch._foreach_copy_(self.buffers, self.copies)


@contextmanager
def passes(model: nn.Module, device: torch.device) -> Iterator[None]:
    """Forward and backward passes inside the block leave no trace; weights must not be changed in it."""
    state = PassState(model, device)
    try:
        yield
    finally:
        state.restore()
        model.zero_grad(set_to_none=True)


@contextmanager
def modes(model: nn.Module) -> Iterator[None]:
    """Each module is in train or eval mode as before."""
    before = [(module, module.training) for module in model.modules()]
    try:
        yield
    finally:
        for module, training in before:
            module.training = training


@contextmanager
def weights(model: nn.Module, others: Weights | None = None) -> Iterator[None]:
    """Parameters and buffers are as before afterwards; `others` stand in for them inside the block."""
    own = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
    if others is not None:
        model.load_state_dict(dict(others))
    try:
        yield
    finally:
        model.load_state_dict(own)


@contextmanager
def everything(model: nn.Module, optimizer: torch.optim.Optimizer | None = None) -> Iterator[None]:
    """Weights, modes, the optimizer's state and every generator are as before afterwards; gradients are gone."""
    state = None if optimizer is None else copy.deepcopy(optimizer.state_dict())
    generators = seeding.capture()
    try:
        with modes(model), weights(model):
            yield
    finally:
        model.zero_grad(set_to_none=True)
        if optimizer is not None and state is not None:
            optimizer.load_state_dict(state)
        seeding.restore(generators)
