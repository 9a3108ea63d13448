"""What a source hands over: decoded samples in memory or in a memory map, not yet split or profiled."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.reports.finding import Finding


@dataclass
class RawData:
    """`x` is uint8 (N,H,W,C) images or float32 (N,F) features; `split` holds given splits (0 train, 1 val, 2 test)."""

    x: NDArray[np.uint8] | NDArray[np.float32]
    y: NDArray[np.int64]
    classes: list[str]
    split: NDArray[np.uint8] | None = None
    names: list[str] = field(default_factory=list)
    """File name or row of each sample; empty: its number."""
    feature_names: list[str] = field(default_factory=list)
    dtype: str = "uint8"
    """Of the original numbers."""
    sizes: dict[str, int] = field(default_factory=dict)
    modes: dict[str, int] = field(default_factory=dict)
    thumbs: NDArray[np.uint8] | None = None
    """(N,32,32) grey thumbnails of images; None: made when they are needed."""
    file_hashes: list[str] = field(default_factory=list)
    """SHA-256 of each sample's file; empty: rows are compared."""
    row_hashes: list[str] = field(default_factory=list)
    """SHA-256 of each packed row; empty: drawn when it is needed."""
    value_range: tuple[float, float] | None = None
    """Of the original numbers; None: of the packed ones."""
    notes: list[Finding | None] = field(default_factory=list)
    """What the source had to decide or to put right on the way."""
    categories: dict[str, list[str]] = field(default_factory=dict)
    """Column of a table -> its categories, in the order of their features."""
    fill: Callable[[NDArray[Any], NDArray[np.uint8]], list[Finding | None]] | None = None
    """Fills gaps in `x` with what the train split says, once it is known, and tells of it."""
    is_ordered: bool = False
    """Whether the order of the samples is the user's own (a table or an array), not that of file names."""
    corrupt: list[dict[str, str]] = field(default_factory=list)
    ignored: list[dict[str, str]] = field(default_factory=list)
