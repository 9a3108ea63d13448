"""Transfer learning: a torchvision network with a new head, frozen and with learning rates as the spec says."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from torch import Tensor, nn

from service.catalog import architectures
from service.errors import DataError
from service.specs.model import TorchvisionSpec
from service.specs.optimizer import OptimizerSpec
from service.specs.part import FromJob
from worker.engine.models import pretrained, torchvision_models, torchvision_stages
from worker.engine.models.stages import Operation, Stage, StagedNetwork

SMALL_SHARE = 0.4
"""Pretrained filters see little in images below this share of the size they were trained at."""


class TransferNetwork(StagedNetwork):
    """A network from images_BCHW of the dataset's own size to logits_BK."""

    def __init__(self, network: nn.Module, stages: Sequence[Stage], spec: TorchvisionSpec) -> None:
        super().__init__(network, stages, frozen=frozen_stages(spec, stages), head_epochs=spec.head_epochs)
        self.spec = spec

    def lr_groups(self, lr: float, optimizer: OptimizerSpec) -> list[tuple[float, list[nn.Parameter]]]:
        """Learning rate and parameters of each group, the head first. The head's rate is `lr`, the last stage's
        `backbone_lr`; each stage before has `layer_decay` times the rate of the one after it.
        """
        rate, decay = optimizer.backbone_lr or lr, optimizer.layer_decay or 1.0
        *body, head = self.stages
        groups = [(lr, list(self.parameters_of(head)))]
        for stage in reversed(body):
            parameters = list(self.parameters_of(stage))
            if decay == 1.0 and len(groups) > 1:
                groups[1][1].extend(parameters)
            elif parameters:
                groups.append((rate, parameters))
                rate *= decay
        return groups


def build_transfer(
    spec: TorchvisionSpec, shape: Sequence[int], classes: int, file: Path | None = None
) -> TransferNetwork:
    """The spec's network for images of `shape` (height, width, channels), with its pretrained weights.

    Raises DataError when the images do not fit, WeightsError when the weights do not.
    """
    if len(shape) != 3:
        raise DataError("a `torchvision` network needs images; this dataset holds features: use the `mlp` family")
    known = _known(spec.arch)
    size = known.input_size(spec.image_size, *shape[:2])
    try:
        network = torchvision_models.build(spec.arch, size[0])
    except (ValueError, AssertionError) as error:
        raise DataError(f"{spec.arch} does not take images of {size[0]} pixels: {error}") from error
    if shape[2] not in (1, 3):
        torchvision_models.widen_input(network, shape[2])
    torchvision_models.replace_head(network, spec.arch, classes, spec.dropout)
    body = torchvision_stages.stages(network, spec.arch)
    model = TransferNetwork(network, [_input(shape, size), *body], spec)
    weights = pretrained.read(spec, file)
    if weights is not None:
        model.notes += [pretrained.load(model, weights, spec)]
        # A job's weights may well come from images of this very size.
        model.notes += [] if isinstance(spec.weights, FromJob) else _small(known, size)
    return model


def _known(arch: str) -> architectures.Architecture:
    known = architectures.architecture(arch)
    if known is None:
        near = architectures.nearest_architecture(arch)
        raise DataError(f"no architecture is called `{arch}`" + (f"; did you mean `{near}`?" if near else ""))
    return known


def input_elements(spec: TorchvisionSpec, shape: Sequence[int]) -> int:
    """How many numbers one image has where it enters the layers."""
    height, width = _known(spec.arch).input_size(spec.image_size, *shape[:2])
    return height * width * max(3, shape[2])


def frozen_stages(spec: TorchvisionSpec, stages: Sequence[Stage]) -> int:
    """How many leading stages never train."""
    if spec.mode == "feature_extraction":
        return len(stages) - 1
    if spec.mode == "partial":
        return next(number for number, stage in enumerate(stages) if stage.is_last)
    return 0


def _small(known: architectures.Architecture, size: tuple[int, int]) -> list[str]:
    if min(size) >= SMALL_SHARE * known.size:
        return []
    return [
        f"images of {size[1]}x{size[0]} pixels meet weights that were trained at {known.size}: `model.image_size` "
        f"{known.size // 2} or {known.size} usually makes pretrained features much better, and slower"
    ]


def _input(shape: Sequence[int], size: tuple[int, int]) -> Stage:
    """From the dataset's images to the first layer's: resized on the device, gray repeated to three channels."""
    operations = [] if tuple(shape[:2]) == size else [Operation(partial(_resize, size))]
    operations += [Operation(_repeat_gray)] if shape[2] == 1 else []
    return Stage("input", tuple(operations))


def _resize(size: tuple[int, int], _: nn.Module, images_BCHW: Tensor) -> Tensor:
    """Scaled to cover `size`, then the centre of it."""
    height, width = images_BCHW.shape[2:]
    scale = max(size[0] / height, size[1] / width)
    covering = (max(round(height * scale), size[0]), max(round(width * scale), size[1]))
    images_BCHW = nn.functional.interpolate(images_BCHW, covering, mode="bilinear", antialias=scale < 1)
    top, left = (covering[0] - size[0]) // 2, (covering[1] - size[1]) // 2
    return images_BCHW[:, :, top : top + size[0], left : left + size[1]]


def _repeat_gray(_: nn.Module, images_BCHW: Tensor) -> Tensor:
    return images_BCHW.expand(-1, 3, -1, -1)
