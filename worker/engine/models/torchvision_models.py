"""torchvision's classification networks by name, with a new head and any number of input channels."""

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from worker.engine.models.torchvision_stages import family
from worker.engine.runtime.torchvision_shim import torchvision

HEAD_DEVIATION = 0.01
"""Of the new head's initial weights: the first logits are near zero, the first loss near ln(classes)."""


def names() -> list[str]:
    """Every classification architecture of this torchvision."""
    return sorted(torchvision.models.list_models(module=torchvision.models))


def build(arch: str, image_size: int | None = None) -> nn.Module:
    """torchvision's own network with random weights and its 1,000-class head; `image_size` matters to some only."""
    options: dict[str, Any] = {}
    if arch.startswith(("googlenet", "inception")):
        options |= {"aux_logits": False, "init_weights": True}
    if image_size is not None and arch.startswith("vit"):
        options["image_size"] = image_size
    if image_size is not None and arch.startswith("maxvit"):
        options["input_size"] = (image_size, image_size)
    network: nn.Module = torchvision.models.get_model(arch, weights=None, **options)
    return network


def skeleton(arch: str) -> nn.Module:
    """The network without memory for its parameters: names and shapes only."""
    with _OnMeta(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # initialising what is not there
        return build(arch)


def replace_head(network: nn.Module, arch: str, classes: int, dropout: float) -> None:
    """Puts Dropout and Linear(features, classes) in place of the output layer and of the dropout before it."""
    name = family(arch).head
    parent, _, last = name.rpartition(".")
    holder, old = network.get_submodule(parent), network.get_submodule(name)
    features = old.in_channels if isinstance(old, nn.Conv2d) else old.in_features
    assert isinstance(features, int)
    linear = nn.Linear(features, classes)
    nn.init.trunc_normal_(linear.weight, std=HEAD_DEVIATION)
    nn.init.zeros_(linear.bias)
    setattr(holder, last, nn.Sequential(nn.Dropout(dropout), linear))
    if isinstance(holder, nn.Sequential) and last.isdigit() and last != "0":
        before = holder[int(last) - 1]
        if isinstance(before, nn.Dropout):
            holder[int(last) - 1] = nn.Identity()


def widen_input(network: nn.Module, channels: int) -> None:
    """Makes the first convolution take `channels` instead of 3: the mean of its weights, scaled to the same output."""
    name, old = next((name, module) for name, module in network.named_modules() if isinstance(module, nn.Conv2d))
    new = nn.Conv2d(
        channels,
        old.out_channels,
        old.kernel_size,  # type: ignore[arg-type]
        old.stride,  # type: ignore[arg-type]
        old.padding,  # type: ignore[arg-type]
        bias=old.bias is not None,
    )
    with torch.no_grad():
        new.weight.copy_(old.weight.mean(1, keepdim=True).expand(-1, channels, -1, -1) * (old.in_channels / channels))
        if new.bias is not None and old.bias is not None:
            new.bias.copy_(old.bias)
    network.set_submodule(name, new)


class _OnMeta(TorchFunctionMode):
    """Parameters are allocated with these; numbers that shapes are computed from are not."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        options = dict(kwargs or {})
        if func in (torch.empty, torch.zeros, torch.ones):
            options["device"] = "meta"
        return func(*args, **options)
