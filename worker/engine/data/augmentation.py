"""Random operations on batches."""

from torch import Generator, Tensor

from service.specs.augmentation import AugmentOp


class Augmenter:
    """Placeholder of the shape."""

    def __init__(self, ops: tuple[AugmentOp, ...], classes: int) -> None:
        self.ops, self.classes = ops, classes

    def images(self, unit_BCHW: Tensor, generator: Generator) -> Tensor:
        return unit_BCHW

    def mix(self, images_BCHW: Tensor, labels_B: Tensor, generator: Generator) -> tuple[Tensor, Tensor | None]:
        return images_BCHW, None
