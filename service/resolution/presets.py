"""Ready lists of random operations, and the operations behind a preset's name, which small pictures get smaller."""

import math
from collections.abc import Iterator, Sequence

from service.specs.augmentation import (
    Affine,
    AugmentOp,
    AugmentSpec,
    ColorJitter,
    Crop,
    Erasing,
    Grayscale,
    HorizontalFlip,
    Mixup,
    Preset,
    ResizedCrop,
    Rotation,
    VerticalFlip,
)

PRESETS: dict[Preset, tuple[AugmentOp, ...]] = {
    "none": (),
    "light": (HorizontalFlip(op="horizontal_flip"), Crop(op="crop")),
    "standard": (
        HorizontalFlip(op="horizontal_flip"),
        VerticalFlip(op="vertical_flip"),
        Rotation(op="rotation"),
        ResizedCrop(op="resized_crop"),
        Affine(op="affine"),
        ColorJitter(op="color_jitter"),
        Grayscale(op="grayscale"),
        Erasing(op="erasing"),
    ),
    "strong": (
        HorizontalFlip(op="horizontal_flip"),
        ResizedCrop(op="resized_crop", scale=(0.35, 1.0), ratio=(0.75, 1.333)),
        Affine(op="affine", degrees=20, translate=(0.15, 0.15), scale=(0.8, 1.2), shear=10),
        ColorJitter(op="color_jitter", brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1),
        Grayscale(op="grayscale", p=0.2),
        Erasing(op="erasing", p=0.25),
        Mixup(op="mixup"),
    ),
}


FULL_SIZE = 32
"""Pixels of height and width from which on a preset is what its list says."""
LEAST_CROP = 16
"""Pixels of height and width that a crop should leave."""


def operations(augment: AugmentSpec | None, shape: Sequence[int] = (FULL_SIZE, FULL_SIZE)) -> tuple[AugmentOp, ...]:
    """The operations behind a preset's name, for pictures of this height and width, or a list; null means none."""
    if augment is None:
        return ()
    if not isinstance(augment, str):
        return tuple(augment)
    side = min(shape[:2])
    return PRESETS[augment] if side >= FULL_SIZE else tuple(_for_small(PRESETS[augment], side))


def kept_side(crop: ResizedCrop, side: int) -> int:
    """Pixels of height and width that the smallest square crop leaves of `side`."""
    return round(side * math.sqrt(crop.scale[0]))


def _for_small(preset: Sequence[AugmentOp], side: int) -> Iterator[AugmentOp]:
    """Pads by the same share as of 32 pixels, keeps 16 pixels of a crop where there are as many, erases half."""
    for op in preset:
        match op:
            case Crop(padding=padding):
                yield op.replace(padding=max(1, padding * side // FULL_SIZE))
            case ResizedCrop() if side <= LEAST_CROP:
                continue
            case ResizedCrop(scale=(least, most)):
                yield op.replace(scale=(max(least, (LEAST_CROP / side) ** 2), most))
            case Erasing(scale=(least, most)):
                yield op.replace(scale=(least, most / 2))
            case _:
                yield op
