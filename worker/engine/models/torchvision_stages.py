"""How torchvision's classification networks fall into stages.

One line of `FAMILIES` says of a family which layer puts out the classes, how the network falls into stages, and which
stage is the last one before the head (the layers at the last resolution; of a ViT the last quarter of its blocks).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn

from service.catalog.pretraining import IMAGENET_MEAN, IMAGENET_STD
from worker.engine.models.stages import Operation, Stage, modules


@dataclass(frozen=True)
class Family:
    """Architectures that are built alike."""

    prefixes: tuple[str, ...]
    head: str
    """Dotted name of the layer that puts out the classes."""
    body: Callable[[nn.Module], list[Stage]]
    """The stages from the image to the head's input."""


def family(arch: str) -> Family:
    """The family of an architecture; raises KeyError for one that this module does not know."""
    for candidate in FAMILIES:
        if arch.startswith(candidate.prefixes):
            return candidate
    raise KeyError(arch)


def stages(network: nn.Module, arch: str) -> list[Stage]:
    """The whole network as stages, the head last; composed they are torchvision's own `forward`."""
    known = family(arch)
    return [*known.body(network), Stage("head", modules(known.head))]


# --- operations that torchvision's `forward` does between modules


def _flatten(_: nn.Module, x: Tensor) -> Tensor:
    return x.flatten(1)


def _pool(_: nn.Module, x: Tensor) -> Tensor:
    """Global average pooling of features_BCHW to features_BC."""
    return nn.functional.adaptive_avg_pool2d(x, 1).flatten(1)


def _relu_pool(network: nn.Module, x: Tensor) -> Tensor:
    return _pool(network, nn.functional.relu(x))


def _from_imagenet_scale(_: nn.Module, x: Tensor) -> Tensor:
    """From ImageNet's mean and deviation to -1..1, the scale of torchvision's GoogLeNet and Inception weights."""
    if x.shape[1] != 3:
        return x
    std, mean = x.new_tensor(IMAGENET_STD), x.new_tensor(IMAGENET_MEAN)
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
    name: str, cuts: Sequence[str | int], last: str | int, after: tuple[Operation, ...], network: nn.Module
) -> list[Stage]:
    """A Sequential cut at some of its children, then the operations to the head's input."""
    return _then(_group(_children(network, name), [f"{name}.{cut}" for cut in cuts], f"{name}.{last}"), after)


def _after_pools(after: tuple[Operation, ...], network: nn.Module) -> list[Stage]:
    """`features` cut after each max pooling but the one at its end."""
    layers = list(network.get_submodule("features").children())
    cuts = [n + 1 for n, layer in enumerate(layers[:-1]) if isinstance(layer, nn.MaxPool2d)]
    return _trunk("features", cuts, cuts[-1], after, network)


def _then(trunk: list[Stage], after: tuple[Operation, ...]) -> list[Stage]:
    """Parameters after the trunk belong to its last stage; plain functions (pooling) are a stage of their own."""
    owning = [n for n, operation in enumerate(after) if operation.owns]
    kept = max(owning, default=-1) + 1
    *front, end = trunk
    done = [*front, end._replace(operations=end.operations + after[:kept])]
    return [*done, Stage("pool", after[kept:])] if after[kept:] else done


def _resnet(network: nn.Module) -> list[Stage]:
    children = ["conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4"]
    return _then(_group(children, children[4:], "layer4"), (Operation(_pool),))


def _shufflenet(network: nn.Module) -> list[Stage]:
    children = ["conv1", "maxpool", "stage2", "stage3", "stage4", "conv5"]
    return _then(_group(children, children[2:5], "stage4"), (Operation(_pool),))


def _regnet(network: nn.Module) -> list[Stage]:
    children = ["stem", *_children(network, "trunk_output")]
    return _then(_group(children, children[1:], children[-1]), (Operation(_pool),))


def _maxvit(network: nn.Module) -> list[Stage]:
    children = ["stem", *_children(network, "blocks")]
    hidden = _children(network, "classifier")[:-1]
    return _then(_group(children, children[1:], children[-1]), modules(*hidden))


def _googlenet(network: nn.Module) -> list[Stage]:
    children = [name for name, _ in network.named_children() if name not in ("avgpool", "dropout", "fc")]
    stem, *others = _group(children, ["inception3a", "inception4a", "inception5a"], "inception5a")
    return _then([_scaled(stem), *others], (Operation(_pool),))


def _inception(network: nn.Module) -> list[Stage]:
    children = [name for name, _ in network.named_children() if name not in ("avgpool", "dropout", "fc")]
    stem, *others = _group(children, ["Mixed_5b", "Mixed_6a", "Mixed_7a"], "Mixed_7a")
    return _then([_scaled(stem), *others], (Operation(_pool),))


def _scaled(stem: Stage) -> Stage:
    return stem._replace(operations=(Operation(_from_imagenet_scale), *stem.operations))


def _vit(network: nn.Module) -> list[Stage]:
    blocks = _children(network, "encoder.layers")
    last = len(blocks) - max(1, len(blocks) // 4)
    tokens = Operation(_tokens, ("conv_proj", "class_token", "encoder.pos_embedding"))
    trunk = [Stage("tokens", (tokens, *modules("encoder.dropout")))]
    trunk += [Stage(name, modules(name), number >= last) for number, name in enumerate(blocks)]
    return _then(trunk, (*modules("encoder.ln"), Operation(_class_token)))


_POOLED = (Operation(_pool),)
_VGG_HIDDEN = (*modules("avgpool"), Operation(_flatten), *modules(*(f"classifier.{n}" for n in range(6))))
FAMILIES: tuple[Family, ...] = (
    Family(("resnet", "resnext", "wide_resnet"), "fc", _resnet),
    Family(("alexnet", "vgg"), "classifier.6", partial(_after_pools, _VGG_HIDDEN)),
    Family(("squeezenet",), "classifier.1", partial(_after_pools, _POOLED)),
    Family(
        ("densenet",),
        "classifier",
        partial(_trunk, "features", [f"denseblock{n}" for n in range(1, 5)], "denseblock4", (Operation(_relu_pool),)),
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
