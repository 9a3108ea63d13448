"""Pretrained weights, copied into a network by name. All but the head must fit, or they belong to another network.

What may differ: the head (absent, or for other classes), counters and tables that are no parameters, the auxiliary
classifiers of GoogLeNet and Inception, positions of a ViT for another image size, and the number of input channels.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from service.catalog import architectures
from service.catalog.fingerprints import AUXILIARY, POSITIONS, UNIMPORTANT
from service.errors import WeightsError
from service.specs.model import TorchvisionSpec
from worker.engine.models import torchvision_models, torchvision_stages
from worker.engine.models.stages import StagedNetwork
from worker.engine.models.weight_files import StartWeights, read_file, read_official
from worker.engine.runtime.torchvision_shim import torchvision

_interpolate = torchvision.models.vision_transformer.interpolate_embeddings
LISTED = 8
"""Names that a message lists."""
SURE = 0.9
"""Share of tensors that must agree for an architecture to be recognised."""


def read(spec: TorchvisionSpec, file: Path | None) -> StartWeights | None:
    """The spec's start weights; None for random ones."""
    if spec.weights is None:
        return None
    if isinstance(spec.weights, str):
        return read_official(spec.arch, spec.weights)
    if file is None:
        raise WeightsError("the weights file that the spec refers to was not given to the run")
    return read_file(file)


@torch.no_grad()
def load(model: StagedNetwork, start: StartWeights, spec: TorchvisionSpec) -> str:
    """Copies what matches into the model and says what that was; raises WeightsError when the backbone does not fit."""
    head = torchvision_stages.family(spec.arch).head
    if start.arch not in (None, spec.arch):
        raise WeightsError(f"{start.source} holds weights of `{start.arch}`, and the spec asks for `{spec.arch}`")
    own = model.state_dict()
    given = {name: _adapted(name, tensor, own, spec) for name, tensor in start.tensors.items()}
    expected = [name for name in own if not _in(head, name)]
    matched = [name for name in expected if name in given and given[name].shape == own[name].shape]
    unused = [name for name in given if name not in own and not _in(head, name)]
    missing = sorted(set(expected) - set(matched))
    random = [name for name in missing if _may_be_random(name, given, spec, head)]
    faults = [name for name in missing if name not in random and not name.endswith(UNIMPORTANT)]
    faults += [name for name in unused if not name.startswith(AUXILIARY) and not name.endswith(UNIMPORTANT)]
    if faults:
        raise WeightsError(_misfit(start, spec, len(matched), len(expected), faults))
    if broken := [name for name in matched if not bool(torch.isfinite(given[name]).all())]:
        raise WeightsError(f"{start.source} holds numbers that are NaN or infinite in {_list(broken)}")
    for name in matched:
        own[name].copy_(given[name])
    sentences = [
        f"start weights {start.source}: {len(matched)} of {len(expected)} tensors of {spec.arch} matched",
        _load_head(own, given, head),
    ]
    sentences += [f"not in the file, so random: {_list(random)}"] if random else []
    sentences += [f"in the file and not used: {_list(unused)}"] if unused else []
    return "; ".join(sentences)


def _in(head: str, name: str) -> bool:
    return name.startswith(head + ".")


def _adapted(name: str, tensor: Tensor, own: Mapping[str, Tensor], spec: TorchvisionSpec) -> Tensor:
    """The tensor for this network's image size and input channels."""
    if name not in own or tensor.shape == own[name].shape or tensor.ndim != own[name].ndim:
        return tensor
    if name == POSITIONS and tensor.shape[2] == own[name].shape[2]:
        side = round((own[name].shape[1] - 1) ** 0.5)
        resized: Tensor = _interpolate(side, 1, {POSITIONS: tensor.clone()})[POSITIONS]
        return resized
    ours, theirs = list(own[name].shape), list(tensor.shape)
    is_first_convolution = len(theirs) == 4 and theirs[1] == 3 and ours[1] not in (1, 3)
    if is_first_convolution and theirs[:1] + theirs[2:] == ours[:1] + ours[2:]:
        return tensor.mean(1, keepdim=True).expand(ours) * (3 / ours[1])
    return tensor


def _may_be_random(name: str, given: Mapping[str, Tensor], spec: TorchvisionSpec, head: str) -> bool:
    """Hidden layers beside the head (VGG, AlexNet, MobileNetV3) may be left out of a headless file if they train."""
    beside_head = "." in head and name.startswith(head.rpartition(".")[0] + ".")
    return beside_head and name not in given and spec.mode != "feature_extraction"


def _load_head(own: Mapping[str, Tensor], given: Mapping[str, Tensor], head: str) -> str:
    """Takes the file's head when it is for as many classes (our own heads have a dropout before the Linear)."""
    weight = given.get(f"{head}.1.weight", given.get(f"{head}.weight"))
    bias = given.get(f"{head}.1.bias", given.get(f"{head}.bias"))
    mine = own[f"{head}.1.weight"]
    if weight is None:
        return f"the head for {len(mine)} classes is new (the file has none)"
    if len(weight) != len(mine) or weight[0].numel() != mine[0].numel():
        return f"the head for {len(mine)} classes is new (the file's is for {len(weight)})"
    mine.copy_(weight.reshape(mine.shape))
    if bias is not None:
        own[f"{head}.1.bias"].copy_(bias)
    return f"the head for {len(mine)} classes was taken too"


def _misfit(start: StartWeights, spec: TorchvisionSpec, matched: int, expected: int, faults: Sequence[str]) -> str:
    other = identify(start.tensors)
    what = f"holds weights of `{other}`" if other and other != spec.arch else "does not fit"
    return (
        f"{start.source} {what}, and the spec asks for `{spec.arch}`: {matched} of its {expected} tensors match by "
        f"name and shape; missing, unexpected or of another shape: {_list(faults)}"
    )


def identify(tensors: Mapping[str, Tensor]) -> str | None:
    """The architecture whose names and shapes these are, if one agrees well."""
    size = sum(tensor.numel() for tensor in tensors.values())
    best, best_share = None, SURE
    for name in torchvision_models.names():
        known = architectures.architecture(name)
        if known is None or not 0.8 * known.backbone_parameters <= size <= 1.3 * known.parameters:
            continue
        shapes = {key: tensor.shape for key, tensor in torchvision_models.skeleton(name).state_dict().items()}
        agreeing = sum(shapes.get(key) == tensor.shape for key, tensor in tensors.items())
        share = agreeing / max(len(tensors), len(shapes))
        if share > best_share:
            best, best_share = name, share
    return best


def _list(names: Sequence[str]) -> str:
    rest = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + rest
