"""What a source hands over: decoded samples in memory or in a memory map, not yet split or profiled."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


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
    corrupt: list[dict[str, str]] = field(default_factory=list)
    ignored: list[dict[str, str]] = field(default_factory=list)
