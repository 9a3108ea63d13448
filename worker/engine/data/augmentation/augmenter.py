"""Random operations on batches of images, on the training device, with parameters of its own for each sample.

The operations run in a fixed order, whatever their order in the list: geometry (in the list's order, one resampling),
color (in the list's order), then after normalisation erasing, and mixup or cutmix. All numbers come from the given
host generator: the same generator gives the same images.
"""

from torch import Generator, Tensor

from service.specs.augmentation import AugmentOp, ColorJitter, Cutmix, Erasing, Grayscale, Mixup
from worker.engine.data.augmentation.color import ColorOp, apply_color
from worker.engine.data.augmentation.geometry import GeometricOp, Geometry
from worker.engine.data.augmentation.mixing import MixOp, erase, mix

CHUNK_ELEMENTS = {"cpu": 2**18, "cuda": 2**23}
"""Pixels times channels that are augmented at once: on a CPU what its cache holds, on a GPU what is worth a launch."""


class Augmenter:
    """A list of operations, ready to be applied to batches."""

    def __init__(self, ops: tuple[AugmentOp, ...], classes: int) -> None:
        self.classes = classes
        geometric: list[GeometricOp] = []
        self.color: list[ColorOp] = []
        self.erasings: list[Erasing] = []
        mixing: list[MixOp] = []
        for op in ops:
            match op:
                case ColorJitter() | Grayscale():
                    self.color.append(op)
                case Erasing():
                    self.erasings.append(op)
                case Mixup() | Cutmix():
                    mixing.append(op)
                case _:
                    geometric.append(op)
        self.geometry = Geometry(tuple(geometric)) if geometric else None
        self.mixing = tuple(mixing)

    def images(self, unit_BCHW: Tensor, generator: Generator) -> Tensor:
        """Geometry and color of float images between 0 and 1; the given ones stay as they are."""
        if self.geometry:
            unit_BCHW = self.geometry(unit_BCHW, generator)
        for op in self.color:
            unit_BCHW = apply_color(op, unit_BCHW, generator)
        return unit_BCHW

    def mix(self, images_BCHW: Tensor, labels_B: Tensor, generator: Generator) -> tuple[Tensor, Tensor | None]:
        """Erasing and mixing of normalised images; targets_BK are the soft labels, None when nothing is mixed."""
        for op in self.erasings:
            images_BCHW = erase(op, images_BCHW, generator)
        if not self.mixing:
            return images_BCHW, None
        return mix(self.mixing, images_BCHW, labels_B, self.classes, generator)


def batches_at_once(batch_size: int, sample_elements: int, device_type: str) -> int:
    """How many batches are augmented together: fewer, larger operations cost less; at least one."""
    return max(1, CHUNK_ELEMENTS.get(device_type, 2**18) // (batch_size * sample_elements))
