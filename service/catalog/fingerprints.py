"""Which architecture a weights file fits, told by the names and shapes of its tensors alone.

A fingerprint covers what every file of an architecture has: the backbone's parameters. The head may be absent or for
other classes, counters and tables are no parameters, auxiliary classifiers are not trained, a ViT's positions depend on
the size of its images, and the first convolution's inputs on their channels. timm's ResNets have torchvision's names.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import TypeVar

Tensor = TypeVar("Tensor")
WRAPPERS: tuple[str, ...] = ("module.", "_orig_mod.", "model.", "backbone.")
"""Prefixes that DataParallel, torch.compile and training scripts put before every name."""
UNIMPORTANT: tuple[str, ...] = ("num_batches_tracked", "relative_position_index", "relative_coords_table")
AUXILIARY: tuple[str, ...] = ("aux1.", "aux2.", "AuxLogits.")
POSITIONS = "encoder.pos_embedding"
_HEADS: tuple[str, ...] = ("fc.", "classifier.", "head.", "heads.")
_FIRST = re.compile(r"(features|layers|stem|conv1|conv_proj|Conv2d_1a_3x3)(\.(0|conv0|conv))*\.weight")
# Official DenseNet files are older than the dots' removal from its layer names (torchvision.models.densenet).
_OLD_DENSENET = re.compile(r"^(.*denselayer\d+\.(?:norm|relu|conv))\.([12]\..*)$")


def modern(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors by torchvision's names of today, without what wraps all of them."""
    for wrapper in WRAPPERS:
        if tensors and all(name.startswith(wrapper) for name in tensors):
            return modern({name.removeprefix(wrapper): tensor for name, tensor in tensors.items()})
    return {_OLD_DENSENET.sub(r"\1\2", name): tensor for name, tensor in tensors.items()}


def fitting(shapes: Mapping[str, Sequence[int]]) -> list[str]:
    """The architectures whose backbone has tensors of exactly these names and shapes."""
    own = fingerprint(modern(shapes))
    return [name for name, known in FINGERPRINTS.items() if known == own]


def fingerprint(shapes: Mapping[str, Sequence[int]]) -> str:
    """Twelve hexadecimal digits of the SHA-256 of the backbone's names and shapes."""
    lines = []
    for name, shape in sorted(shapes.items()):
        if name == POSITIONS or name.endswith(UNIMPORTANT) or name.startswith((*_HEADS, *AUXILIARY)):
            continue
        is_first = len(shape) == 4 and _FIRST.fullmatch(name)
        lines.append(f"{name} {[shape[0], *shape[2:]] if is_first else list(shape)}")
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:12]


FINGERPRINTS: dict[str, str] = {
    "resnet18": "5176ad41a6ec",
    "resnet50": "489eb94ea1fe",
    "efficientnet_b0": "b863b53e532c",
    "efficientnet_b4": "9f074c045c9f",
    "vit_b_16": "2bfe070f7262",
    "convnext_base": "38e89dd2a897",
    "alexnet": "50c4bc74dbbc",
    "convnext_large": "3ef4568d9cad",
    "convnext_small": "b4d0460c7f33",
    "convnext_tiny": "38c3444803d2",
    "densenet121": "a960cbd51f66",
    "densenet161": "e1077fe7b8e4",
    "densenet169": "c14f1b364850",
    "densenet201": "e9adb5988297",
    "efficientnet_b1": "26c988060790",
    "efficientnet_b2": "c67609b486c5",
    "efficientnet_b3": "427993dfdca3",
    "efficientnet_b5": "e4f375737c7b",
    "efficientnet_b6": "6a1a028f62d9",
    "efficientnet_b7": "fb26282dec56",
    "efficientnet_v2_l": "132b5572f420",
    "efficientnet_v2_m": "9bb779b25670",
    "efficientnet_v2_s": "98de1334e042",
    "googlenet": "15518838c9ec",
    "inception_v3": "9718c08ed421",
    "maxvit_t": "db6e43aef41c",
    "mnasnet0_5": "586221126e60",
    "mnasnet0_75": "2136516e70d8",
    "mnasnet1_0": "95852856b83d",
    "mnasnet1_3": "0286505e9cba",
    "mobilenet_v2": "aa6bab3d4ca4",
    "mobilenet_v3_large": "0fe966ad6031",
    "mobilenet_v3_small": "5bf04a1ff766",
    "regnet_x_16gf": "04a8f0d2a48f",
    "regnet_x_1_6gf": "7e2c858f7e27",
    "regnet_x_32gf": "fadc86787377",
    "regnet_x_3_2gf": "4a23cc47d11a",
    "regnet_x_400mf": "b705f722c0e5",
    "regnet_x_800mf": "ecf8d5792767",
    "regnet_x_8gf": "6df0c18e7b8e",
    "regnet_y_128gf": "265acd2dcdeb",
    "regnet_y_16gf": "abd5f1657673",
    "regnet_y_1_6gf": "0f5f955eee5c",
    "regnet_y_32gf": "17198915918b",
    "regnet_y_3_2gf": "737ab68fdac6",
    "regnet_y_400mf": "910b90ba50fc",
    "regnet_y_800mf": "f170de5b33c2",
    "regnet_y_8gf": "9d1a0914ef9c",
    "resnet101": "0f876d67713c",
    "resnet152": "5013d68575a3",
    "resnet34": "1bd39e471485",
    "resnext101_32x8d": "bb7ef6ad26ef",
    "resnext101_64x4d": "eb2f8cae6479",
    "resnext50_32x4d": "e1fb886aa724",
    "shufflenet_v2_x0_5": "f0ba0d55cd3e",
    "shufflenet_v2_x1_0": "414cb2f94672",
    "shufflenet_v2_x1_5": "2197ce02644d",
    "shufflenet_v2_x2_0": "da64b2a053bd",
    "squeezenet1_0": "b973dbca0330",
    "squeezenet1_1": "76936766fa2e",
    "swin_b": "128dad8ca7d2",
    "swin_s": "0d4af1179848",
    "swin_t": "6314a284bbc6",
    "swin_v2_b": "de352e5cfe5d",
    "swin_v2_s": "2be753cd7fbc",
    "swin_v2_t": "332c008fbb92",
    "vgg11": "5ca85a518504",
    "vgg11_bn": "0f51f4ae1e1e",
    "vgg13": "353aa391fb7a",
    "vgg13_bn": "66e659454b24",
    "vgg16": "b3e911358161",
    "vgg16_bn": "af4cd4d8828a",
    "vgg19": "ca8caee996cc",
    "vgg19_bn": "e0d24a098d8b",
    "vit_b_32": "820b476b0e98",
    "vit_h_14": "744ed23f9659",
    "vit_l_16": "be2481a4fdf9",
    "vit_l_32": "0f4585f129d5",
    "wide_resnet101_2": "718ea76cea4c",
    "wide_resnet50_2": "ea1d1f97941e",
}
