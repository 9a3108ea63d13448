"""Start weights that were uploaded, as clients see them."""

from datetime import datetime
from typing import Literal

from service.reports.part import ReportPart


class WeightsProfile(ReportPart):
    """What a weights file says without its numbers being read; a state dict is not opened before it is used."""

    format: Literal["safetensors", "state-dict"]
    arch: str | None = None
    """The network that one of this service's own model files names."""
    tensors: int | None = None
    parameters: int | None = None
    """Numbers in all tensors together."""
    fits: list[str] | None = None
    """Architectures whose backbone has tensors of these names and shapes; null: not known before they are used."""


class WeightsReport(WeightsProfile):
    """Start weights for `model.weights: {"upload": name}`."""

    id: str
    name: str
    owner: str | None
    """Name of the key that uploaded them; null where no keys were asked for: the admin's."""
    size: int
    """Of the file, in bytes."""
    sha256: str
    created_at: datetime
