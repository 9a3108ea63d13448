"""What can be used: architectures, datasets that are known by name, augmentations."""

from typing import Literal

from service.reports.part import ReportPart


class ArchitectureReport(ReportPart):
    """One architecture of torchvision."""

    name: str
    parameters: int
    """With ImageNet's 1,000-class head."""
    top1: float
    """ImageNet top-1 accuracy, percent."""
    usage: str
    features: int
    """Inputs of the new head."""
    min_size: int
    """Least height and width of an image, pixels."""
    size: int
    """Height and width that the weights were trained for."""
    gmacs: float
    """Multiply-accumulates of one image at `size`, in 10^9."""
    weights: dict[str, float]
    """Official weights -> their top-1."""


class ModeAdviceReport(ReportPart):
    """Which transfer mode suits how many training samples."""

    min_samples: int
    max_samples: int | None
    mode: str
    why: str


class ArchitecturesReport(ReportPart):
    """Every architecture, those that are used most first, and how to choose the transfer mode."""

    data: list[ArchitectureReport]
    modes: list[ModeAdviceReport]
    next_cursor: str | None = None


class KnownDatasetReport(ReportPart):
    """A dataset that can be imported by name."""

    name: str
    kind: Literal["builtin", "torchvision"]
    classes: int
    samples: int
    size: str
    about: str
    variants: list[str] = []
    """Editions to choose from; the first is the default."""


class AugmentationReport(ReportPart):
    """A preset and its operations."""

    name: str
    operations: list[dict[str, object]]
