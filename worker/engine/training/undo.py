"""Taking back a step whose loss turned out not to be a number."""

import torch
from torch import Tensor, nn


class Undo:
    """Remembers the little that a step changes before its loss is known: buffers (BatchNorm statistics) and the
    generators that dropout draws from. The weights need no copy: a bad step does not reach the optimizer.
    """

    def __init__(self, model: nn.Module, device: torch.device) -> None:
        self.device = device
        self.buffers = [buffer for buffer in model.buffers() if buffer is not None]
        self.copies = [buffer.clone() for buffer in self.buffers]
        self.random = self._generators()

    def _generators(self) -> tuple[Tensor, Tensor | None]:
        cuda = torch.cuda.get_rng_state(self.device) if self.device.type == "cuda" else None
        return torch.get_rng_state(), cuda

    @torch.no_grad()
    def remember(self) -> None:
        """Called before a step."""
        self.random = self._generators()
        if self.buffers:
            torch._foreach_copy_(self.copies, self.buffers)

    @torch.no_grad()
    def take_back(self) -> None:
        """Called after a bad step: everything is as it was remembered."""
        cpu, cuda = self.random
        torch.set_rng_state(cpu)
        if cuda is not None:
            torch.cuda.set_rng_state(cuda, self.device)
        if self.buffers:
            torch._foreach_copy_(self.buffers, self.copies)
