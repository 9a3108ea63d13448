"""Ready lists of random operations, and the operations behind a preset's name."""

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


def operations(augment: AugmentSpec | None) -> tuple[AugmentOp, ...]:
    """The operations behind a preset's name or a list; null means none."""
    if augment is None:
        return ()
    return PRESETS[augment] if isinstance(augment, str) else tuple(augment)
