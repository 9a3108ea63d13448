"""The loss that a training minimises: cross entropy on logits, with label smoothing and weights of classes."""

import torch
from torch import Tensor, nn

from service.errors import DataError
from service.specs.training import LossSpec


def build_criterion(spec: LossSpec, labels_N: Tensor, classes: int) -> nn.Module:
    """Cross entropy on logits; `balanced` weights are the inverse of each class's share of the train split.

    Raises DataError when the weights are not one each, or are 0 for every class that the train split has.
    """
    if spec.class_weights is None:
        return nn.CrossEntropyLoss(label_smoothing=spec.label_smoothing)
    counts_K = torch.bincount(labels_N, minlength=classes).float()
    if spec.class_weights == "balanced":
        present = counts_K.count_nonzero()
        weights_K = torch.where(counts_K > 0, counts_K.sum() / (present * counts_K.clamp_min(1)), 0.0)
    else:
        if len(spec.class_weights) != classes:
            raise DataError(f"loss.class_weights has {len(spec.class_weights)} values for {classes} classes")
        weights_K = torch.tensor(spec.class_weights, dtype=torch.float32, device=labels_N.device)
        if not (weights_K * counts_K).any():
            raise DataError("loss.class_weights is 0 for every class of the train split: no sample would count")
    return WeightedCrossEntropy(weights_K, spec.label_smoothing)


class WeightedCrossEntropy(nn.Module):
    """The mean over samples that count as much as their class weighs, as if each class were drawn so much more often.

    PyTorch's own loss also weights what label smoothing gives to the other classes: a rare class's weight then pulls
    every sample towards it, so far that nothing else is predicted (pytorch/pytorch#104776). Here the smoothed target of
    a sample stays uniform and the sample is weighted. Without smoothing and with hard labels both are the same.
    """

    weight: Tensor

    def __init__(self, weights_K: Tensor, label_smoothing: float = 0.0) -> None:
        super().__init__()
        self.register_buffer("weight", weights_K)
        self.label_smoothing = label_smoothing

    def forward(self, logits_BK: Tensor, targets: Tensor) -> Tensor:
        """`targets` are labels (B) or soft labels (B, K); 0 when no sample of the batch counts."""
        weights_BK = self._weights(targets)
        logs_BK = torch.log_softmax(logits_BK.float(), 1)
        masses_B = weights_BK.sum(1)
        losses_B = (weights_BK * logs_BK).sum(1) * (self.label_smoothing - 1)
        if self.label_smoothing:
            losses_B = losses_B - self.label_smoothing * masses_B * logs_BK.mean(1)
        return losses_B.sum() / masses_B.sum().clamp_min(torch.finfo(torch.float32).tiny)

    def mass(self, targets: Tensor) -> Tensor:
        """How much the samples of a batch count together."""
        return self._weights(targets).sum()

    def _weights(self, targets: Tensor) -> Tensor:
        hard = targets.dim() == 1
        shares_BK = nn.functional.one_hot(targets, len(self.weight)) if hard else targets
        return shares_BK * self.weight
