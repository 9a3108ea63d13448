"""Random operations on training images, with torchvision's names and parameters; validation never sees them.

Whatever their order in the list, geometry comes first, then colour, then (after normalisation) erasing and mixing.
"""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from service.specs.part import Part


def _ordered(pair: tuple[float, float]) -> tuple[float, float]:
    if pair[0] > pair[1]:
        raise ValueError("the first number must not be above the second")
    return pair


Probability = Annotated[float, Field(ge=0, le=1)]
Jitter = Annotated[float, Field(ge=0, le=2)]
Share = Annotated[float, Field(gt=0, le=1)]
Factor = Annotated[float, Field(gt=0, le=100)]
Shares = Annotated[tuple[Share, Share], AfterValidator(_ordered)]
Factors = Annotated[tuple[Factor, Factor], AfterValidator(_ordered)]


class HorizontalFlip(Part):
    """RandomHorizontalFlip."""

    op: Literal["horizontal_flip"]
    p: Probability = 0.5


class VerticalFlip(Part):
    """RandomVerticalFlip (rarely right for photographs)."""

    op: Literal["vertical_flip"]
    p: Probability = 0.1


class Rotation(Part):
    """RandomRotation by an angle drawn from -degrees..degrees."""

    op: Literal["rotation"]
    degrees: float = Field(default=15, ge=0, le=180)


class ResizedCrop(Part):
    """RandomResizedCrop: a crop of random area and aspect, resized to the input size."""

    op: Literal["resized_crop"]
    scale: Shares = (0.8, 1.0)
    """Share of the image's area that is kept."""
    ratio: Factors = (0.9, 1.1)
    """Width over height of the crop."""


class Affine(Part):
    """RandomAffine."""

    op: Literal["affine"]
    degrees: float = Field(default=10, ge=0, le=180)
    translate: tuple[Probability, Probability] = (0.1, 0.1)
    """Largest shift as a share of width and height."""
    scale: Factors = (1.0, 1.0)
    shear: float = Field(default=5, ge=0, lt=90)
    """Degrees of shear along x."""


class Crop(Part):
    """RandomCrop after padding: the usual small shift for small images."""

    op: Literal["crop"]
    padding: int = Field(default=4, ge=1, le=64)
    """Pixels of zero padding on each side."""


class ColorJitter(Part):
    """ColorJitter."""

    op: Literal["color_jitter"]
    brightness: Jitter = 0.2
    contrast: Jitter = 0.2
    saturation: Jitter = 0.2
    hue: float = Field(default=0.05, ge=0, le=0.5)


class Grayscale(Part):
    """RandomGrayscale."""

    op: Literal["grayscale"]
    p: Probability = 0.1


class Erasing(Part):
    """RandomErasing, after normalisation (a zero is the mean colour)."""

    op: Literal["erasing"]
    p: Probability = 0.1
    scale: Shares = (0.02, 0.33)
    """Share of the image's area that is erased."""
    ratio: Factors = (0.3, 3.3)
    """Height over width of the erased box."""


class Mixup(Part):
    """Mixup of pairs of images and of their labels (arXiv 1710.09412)."""

    op: Literal["mixup"]
    alpha: float = Field(default=0.2, gt=0, le=10)
    p: Probability = 1.0


class Cutmix(Part):
    """CutMix of pairs of images and of their labels (arXiv 1905.04899)."""

    op: Literal["cutmix"]
    alpha: float = Field(default=1.0, gt=0, le=10)
    p: Probability = 1.0


AugmentOp = Annotated[
    HorizontalFlip
    | VerticalFlip
    | Rotation
    | ResizedCrop
    | Affine
    | Crop
    | ColorJitter
    | Grayscale
    | Erasing
    | Mixup
    | Cutmix,
    Field(discriminator="op"),
]
Preset = Literal["none", "light", "standard", "strong"]
AugmentSpec = Preset | Annotated[list[AugmentOp], Field(max_length=50)]
