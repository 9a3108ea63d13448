"""What pretrained networks want: a transfer mode for so many samples, ImageNet's normalisation, lower rates."""

from dataclasses import dataclass

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
"""Of red, green and blue on the 0-1 scale: what torchvision's official weights were trained with."""
BACKBONE_SHARE = 0.1
"""Of the head's learning rate: what pretrained layers learn with."""
LAYER_DECAY = 0.75
"""Factor on the learning rate from one stage to the one before, for the families below."""
DECAYED_FAMILIES: tuple[str, ...] = ("vit", "swin", "maxvit", "convnext")


@dataclass(frozen=True, slots=True)
class ModeAdvice:
    """Which transfer mode suits how many training samples."""

    min_samples: int
    max_samples: int | None
    mode: str
    why: str


MODE_ADVICE: tuple[ModeAdvice, ...] = (
    ModeAdvice(
        0, 1000, "feature_extraction", "few samples: train the new head alone, or the network learns them by heart"
    ),
    ModeAdvice(1000, 10_000, "partial", "enough for the last stage and the head; the early layers are general anyway"),
    ModeAdvice(10_000, None, "full", "enough to adapt every layer, with a small learning rate for the backbone"),
)


def recommended_mode(train_samples: int) -> ModeAdvice:
    """The transfer mode that suits so many training samples."""
    return next(a for a in MODE_ADVICE if a.max_samples is None or train_samples < a.max_samples)


def imagenet_normalisation(channels: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """ImageNet's mean and standard deviation for images of so many channels; other than colour get the average."""
    if channels == len(IMAGENET_MEAN):
        return IMAGENET_MEAN, IMAGENET_STD
    return (sum(IMAGENET_MEAN) / 3,) * channels, (sum(IMAGENET_STD) / 3,) * channels
