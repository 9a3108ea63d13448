"""The one optimizer step, of trainings, learning-rate sweeps and sanity checks alike."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from worker.engine.data.batches import Batch
from worker.engine.runtime.precision import Precision
from worker.engine.training.criterion import WeightedCrossEntropy


@dataclass(frozen=True, slots=True)
class StepLoss:
    """What a step saw of its samples before it changed a weight; `grad_norm` is the L2 norm before clipping."""

    loss: float
    """Mean over the samples."""
    correct: float
    samples: int
    grad_norm: float

    @property
    def accuracy(self) -> float:
        """Share of the samples that the model got right."""
        return self.correct / self.samples

    @property
    def is_overflow(self) -> bool:
        """Whether a gradient is not finite although the loss is: fp16's range may be the cause, not the model."""
        return math.isfinite(self.loss) and not math.isfinite(self.grad_norm)


class OptimizerStep:
    """`backward` computes the gradients of some batches, `update` moves the weights by them.

    Between the two the caller reads the loss and the gradients, and may let the weights be.
    """

    def __init__(
        self,
        forward: Callable[..., Tensor],
        criterion: nn.Module,
        optimizer: torch.optim.Optimizer,
        precision: Precision,
        clip_norm: float | None = None,
        parameters: Iterable[nn.Parameter] | None = None,
    ) -> None:
        """`parameters`, the optimizer's by default, are clipped together; the last bit of their norm is a matter of
        their order.
        """
        self.forward, self.criterion, self.optimizer = forward, criterion, optimizer
        self.precision, self.clip_norm = precision, clip_norm
        groups = optimizer.param_groups
        self.parameters = list(parameters or (parameter for group in groups for parameter in group["params"]))
        self.scaler = precision.scaler()
        self.overflows = 0
        """Steps in a row that the scaler of fp16 gradients skipped."""

    def backward(self, batches: Sequence[Batch]) -> StepLoss:
        """Sets the gradients of the mean loss over the samples of all batches, which pass the model one by one."""
        self.optimizer.zero_grad(set_to_none=True)
        samples = sum(len(batch.labels_B) for batch in batches)
        shares, hits = zip(
            *(self._backward(batch, share) for batch, share in zip(batches, self._shares(batches), strict=True)),
            strict=True,
        )
        self.scaler.unscale_(self.optimizer)
        self._trained = [parameter for parameter in self.parameters if parameter.grad is not None]
        self._norm = nn.utils.get_total_norm([p.grad for p in self._trained if p.grad is not None])
        sums = torch.stack([sum(shares), sum(hits), self._norm.float()]).tolist()  # the step's one wait for the device
        self._seen = StepLoss(sums[0], sums[1], samples, sums[2])
        self.overflows = self.overflows + 1 if self._seen.is_overflow else 0
        return self._seen

    def _shares(self, batches: Sequence[Batch]) -> Sequence[float | Tensor]:
        """How much each micro-batch counts in the mean over all: as much as its samples and their classes weigh."""
        if len(batches) == 1:
            return [1.0]
        if isinstance(self.criterion, WeightedCrossEntropy):
            masses = torch.stack([self.criterion.mass(batch.goals) for batch in batches])
            return list(masses / masses.sum().clamp_min(torch.finfo(torch.float32).tiny))
        sizes = [len(batch.labels_B) for batch in batches]
        return [size / sum(sizes) for size in sizes]

    def _backward(self, batch: Batch, share: float | Tensor) -> tuple[Tensor, Tensor]:
        """Adds a batch's part of the mean loss to the gradients; returns the part and the number of hits."""
        with self.precision.autocast():
            logits_BK = self.forward(batch.inputs)
            loss = self.criterion(logits_BK, batch.goals) * share
        self.scaler.scale(loss).backward()
        return loss.detach().float(), (logits_BK.detach().argmax(1) == batch.labels_B).sum().float()

    def update(self) -> None:
        """Moves the weights, with gradients clipped to a norm of `clip_norm`; a step with an overflow is skipped."""
        if self.clip_norm is not None and not self._seen.grad_norm <= self.clip_norm:
            nn.utils.clip_grads_with_norm_(self._trained, self.clip_norm, self._norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
