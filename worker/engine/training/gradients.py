"""What gradients and updates look like, sampled so that looking costs little."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

UPDATE_EVERY = 5
"""Steps between two measurements of the update ratio."""


def statistics(model: nn.Module) -> dict[str, float]:
    """Norm, mean and largest absolute value of each trainable parameter's gradient; one copy from the device."""
    named = [(name, p.grad) for name, p in model.named_parameters() if p.requires_grad and p.grad is not None]
    if not named:
        return {}
    norms = torch._foreach_norm([grad for _, grad in named])
    columns = torch.stack(
        [
            torch.stack([norm, grad.mean(), grad.abs().amax()]).float()
            for norm, (_, grad) in zip(norms, named, strict=True)
        ]
    )
    return {
        f"grad/{name}/{statistic}": value
        for (name, _), row in zip(named, columns.tolist(), strict=True)
        for statistic, value in zip(("norm", "mean", "max"), row, strict=True)
    }


def matrices(model: nn.Module) -> list[nn.Parameter]:
    """Trainable parameters of two or more dimensions: a bias before a BatchNorm has exactly zero gradient."""
    return [parameter for parameter in model.parameters() if parameter.requires_grad and parameter.ndim > 1]


def copies(parameters: Iterable[nn.Parameter]) -> list[Tensor]:
    """The weights before a step."""
    return [parameter.detach().clone() for parameter in parameters]


def update_ratio(parameters: list[nn.Parameter], before: list[Tensor]) -> float:
    """Median over matrices of norm(dw) / norm(w) of one step (rule D9)."""
    if not parameters:
        return 0.0
    after = [parameter.detach() for parameter in parameters]
    moved = torch.stack(torch._foreach_norm(torch._foreach_sub(after, before)))
    size = torch.stack(torch._foreach_norm(before))
    return float((moved / size.clamp_min(1e-12)).median())
