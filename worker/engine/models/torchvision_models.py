"""torchvision's classification architectures: built by name, with a new head, as a row of stages.

One line of `FAMILIES` says of a family which layer puts out the classes, how the network falls into stages, and which
stage is the last one before the head (the layers at the last resolution; of a ViT the last quarter of its blocks).
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from worker.engine.models.stages import Stage, Step, modules
from worker.engine.runtime.torchvision_shim import torchvision

HEAD_DEVIATION = 0.01
"""Of the new head's initial weights: the first logits are near zero, the first loss near ln(classes)."""


@dataclass(frozen=True)
class Family:
    """Architectures that are built alike."""

    prefixes: tuple[str, ...]
    head: str
    """Dotted name of the layer that puts out the classes."""
    body: Callable[[nn.Module], list[Stage]]
    """The stages from the image to the head's input."""


def names() -> list[str]:
    """Every classification architecture of this torchvision."""
    return sorted(torchvision.models.list_models(module=torchvision.models))


def family(arch: str) -> Family:
    """The family of an architecture; raises KeyError for one that this module does not know."""
    for each in FAMILIES:
        if arch.startswith(each.prefixes):
            return each
    raise KeyError(arch)


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
    name, old = next((name, each) for name, each in network.named_modules() if isinstance(each, nn.Conv2d))
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


def stages(network: nn.Module, arch: str) -> list[Stage]:
    """The whole network as stages, the head last; composed they are torchvision's own `forward`."""
    found = family(arch)
    return [*found.body(network), Stage("head", modules(found.head))]


class _OnMeta(TorchFunctionMode):
    """Parameters are allocated with these; numbers that shapes are computed from are not."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        options = dict(kwargs or {})
        if func in (torch.empty, torch.zeros, torch.ones):
            options["device"] = "meta"
        return func(*args, **options)


# --- steps that are no module of the network's


def _flatten(_: nn.Module, x: Tensor) -> Tensor:
    return x.flatten(1)


def _pool(_: nn.Module, x: Tensor) -> Tensor:
    """Global average pooling of features_BCHW to features_BC."""
    return nn.functional.adaptive_avg_pool2d(x, 1).flatten(1)


def _relu_pool(network: nn.Module, x: Tensor) -> Tensor:
    return _pool(network, nn.functional.relu(x))


def _from_imagenet_scale(_: nn.Module, x: Tensor) -> Tensor:
    """From ImageNet's mean and deviation to -1..1, which GoogLeNet and Inception were trained on (torchvision)."""
    if x.shape[1] != 3:
        return x
    std, mean = x.new_tensor([0.229, 0.224, 0.225]), x.new_tensor([0.485, 0.456, 0.406])
    return x * (std / 0.5).view(3, 1, 1) + ((mean - 0.5) / 0.5).view(3, 1, 1)


def _tokens(network: nn.Module, x: Tensor) -> Tensor:
    """images_BCHW to tokens_BSE with the class token and the positions."""
    patches_BSE = network.get_submodule("conv_proj")(x).flatten(2).transpose(1, 2)
    class_token = network.get_parameter("class_token").expand(len(x), -1, -1)
    return torch.cat([class_token, patches_BSE], 1) + network.get_parameter("encoder.pos_embedding")


def _class_token(_: nn.Module, x: Tensor) -> Tensor:
    return x[:, 0]


# --- how networks fall into stages


def _group(children: Sequence[str], cuts: Sequence[str], last: str) -> list[Stage]:
    """Stages of consecutive modules: one before each cut; from `last` on they are the last stage."""
    starts = [0, *(children.index(cut) for cut in cuts), len(children)]
    spans = [children[a:b] for a, b in pairwise(starts)]
    return [Stage(span[0], modules(*span), children.index(span[0]) >= children.index(last)) for span in spans]


def _children(network: nn.Module, name: str) -> list[str]:
    return [f"{name}.{child}" for child, _ in network.get_submodule(name).named_children()]


def _trunk(
    name: str, cuts: Sequence[str | int], last: str | int, after: tuple[Step, ...], network: nn.Module
) -> list[Stage]:
    """A Sequential cut at some of its children, then the steps to the head's input."""
    found = _group(_children(network, name), [f"{name}.{cut}" for cut in cuts], f"{name}.{last}")
    return _then(found, after)


def _after_pools(after: tuple[Step, ...], network: nn.Module) -> list[Stage]:
    """`features` cut after each max pooling but the one at its end."""
    layers = list(network.get_submodule("features").children())
    cuts = [n + 1 for n, layer in enumerate(layers[:-1]) if isinstance(layer, nn.MaxPool2d)]
    return _trunk("features", cuts, cuts[-1], after, network)


def _then(found: list[Stage], after: tuple[Step, ...]) -> list[Stage]:
    """Parameters after the trunk belong to its last stage; plain functions (pooling) are a stage of their own."""
    owning = [n for n, step in enumerate(after) if step.owns]
    kept = max(owning, default=-1) + 1
    *front, end = found
    done = [*front, end._replace(steps=end.steps + after[:kept])]
    return [*done, Stage("pool", after[kept:])] if after[kept:] else done


def _resnet(network: nn.Module) -> list[Stage]:
    children = ["conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4"]
    return _then(_group(children, children[4:], "layer4"), (Step(_pool),))


def _shufflenet(network: nn.Module) -> list[Stage]:
    children = ["conv1", "maxpool", "stage2", "stage3", "stage4", "conv5"]
    return _then(_group(children, children[2:5], "stage4"), (Step(_pool),))


def _regnet(network: nn.Module) -> list[Stage]:
    children = ["stem", *_children(network, "trunk_output")]
    return _then(_group(children, children[1:], children[-1]), (Step(_pool),))


def _maxvit(network: nn.Module) -> list[Stage]:
    children = ["stem", *_children(network, "blocks")]
    hidden = _children(network, "classifier")[:-1]
    return _then(_group(children, children[1:], children[-1]), modules(*hidden))


def _googlenet(network: nn.Module) -> list[Stage]:
    children = [name for name, _ in network.named_children() if name not in ("avgpool", "dropout", "fc")]
    found = _group(children, ["inception3a", "inception4a", "inception5a"], "inception5a")
    return _then([_scaled(found[0]), *found[1:]], (Step(_pool),))


def _inception(network: nn.Module) -> list[Stage]:
    children = [name for name, _ in network.named_children() if name not in ("avgpool", "dropout", "fc")]
    found = _group(children, ["Mixed_5b", "Mixed_6a", "Mixed_7a"], "Mixed_7a")
    return _then([_scaled(found[0]), *found[1:]], (Step(_pool),))


def _scaled(stem: Stage) -> Stage:
    return stem._replace(steps=(Step(_from_imagenet_scale), *stem.steps))


def _vit(network: nn.Module) -> list[Stage]:
    blocks = _children(network, "encoder.layers")
    last = len(blocks) - max(1, len(blocks) // 4)
    tokens = Step(_tokens, ("conv_proj", "class_token", "encoder.pos_embedding"))
    found = [Stage("tokens", (tokens, *modules("encoder.dropout")))]
    found += [Stage(name, modules(name), number >= last) for number, name in enumerate(blocks)]
    return _then(found, (*modules("encoder.ln"), Step(_class_token)))


_POOLED = (Step(_pool),)
_VGG_HIDDEN = (*modules("avgpool"), Step(_flatten), *modules(*(f"classifier.{n}" for n in range(6))))
FAMILIES: tuple[Family, ...] = (
    Family(("resnet", "resnext", "wide_resnet"), "fc", _resnet),
    Family(("alexnet", "vgg"), "classifier.6", partial(_after_pools, _VGG_HIDDEN)),
    Family(("squeezenet",), "classifier.1", partial(_after_pools, _POOLED)),
    Family(
        ("densenet",),
        "classifier",
        partial(_trunk, "features", [f"denseblock{n}" for n in range(1, 5)], "denseblock4", (Step(_relu_pool),)),
    ),
    Family(("efficientnet_v2_s",), "classifier.1", partial(_trunk, "features", range(1, 7), 6, _POOLED)),
    Family(("efficientnet",), "classifier.1", partial(_trunk, "features", range(1, 8), 6, _POOLED)),
    Family(("mobilenet_v2",), "classifier.1", partial(_trunk, "features", (2, 4, 7, 14), 14, _POOLED)),
    Family(
        ("mobilenet_v3_large",),
        "classifier.3",
        partial(_trunk, "features", (2, 4, 7, 13), 13, (*_POOLED, *modules("classifier.0", "classifier.1"))),
    ),
    Family(
        ("mobilenet_v3_small",),
        "classifier.3",
        partial(_trunk, "features", (1, 2, 4, 9), 9, (*_POOLED, *modules("classifier.0", "classifier.1"))),
    ),
    Family(("mnasnet",), "classifier.1", partial(_trunk, "layers", (8, 9, 10, 12), 12, _POOLED)),
    Family(
        ("convnext",),
        "classifier.2",
        partial(_trunk, "features", (2, 4, 6), 6, modules("avgpool", "classifier.0", "classifier.1")),
    ),
    Family(
        ("swin",), "head", partial(_trunk, "features", (2, 4, 6), 6, modules("norm", "permute", "avgpool", "flatten"))
    ),
    Family(("regnet",), "fc", _regnet),
    Family(("shufflenet",), "fc", _shufflenet),
    Family(("googlenet",), "fc", _googlenet),
    Family(("inception",), "fc", _inception),
    Family(("maxvit",), "classifier.5", _maxvit),
    Family(("vit",), "heads.head", _vit),
)
