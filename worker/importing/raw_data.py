"""What readers are given and what they hand over: a file or folder; decoded samples, not yet split or profiled."""

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.events import Event
from service.reports.finding import Finding
from service.specs.dataset import ImportOptions
from worker.engine.context import RunContext
from worker.importing.npy_rows import keep_rows, open_rows

HEAD_BYTES = 512
"""A tar's magic number lies at 257."""


@dataclass(frozen=True)
class Input:
    """A file or folder to be read."""

    path: Path
    name: str
    """What people call it; an uploaded file lies under another name."""
    options: ImportOptions
    context: RunContext

    def head(self) -> bytes:
        """The first bytes of a file."""
        with self.path.open("rb") as file:
            return file.read(HEAD_BYTES)


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
    """SHA-256 of each packed row; empty: computed when it is needed."""
    value_range: tuple[float, float] | None = None
    """Of the original numbers; None: of the packed ones."""
    notes: list[Finding | None] = field(default_factory=list)
    """What the source had to decide or to put right on the way."""
    categories: dict[str, list[str]] = field(default_factory=dict)
    """Column of a table -> its categories, in the order of their features."""
    impute: Callable[[NDArray[Any], NDArray[np.uint8]], list[Finding | None]] | None = None
    """Fills missing values of `x` with what the train split says, once it is known, and tells of it."""
    is_ordered: bool = False
    """Whether the order of the samples is the user's own (a table or an array), not that of file names."""
    corrupt: list[dict[str, str]] = field(default_factory=list)
    ignored: list[dict[str, str]] = field(default_factory=list)

    @property
    def is_image(self) -> bool:
        """Whether samples are images."""
        return self.x.ndim == 4

    def keep(self, keep_N: NDArray[np.bool_]) -> None:
        """Drops the other samples; a packed array on the disk is thinned out in place."""
        if isinstance(self.x, np.memmap) and self.x.filename is not None:
            path = Path(self.x.filename)
            self.x.flush()
            keep_rows(path, keep_N)
            self.x = open_rows(path)
        else:
            self.x = self.x[keep_N]
        self.y = self.y[keep_N]
        self.split = None if self.split is None else self.split[keep_N]
        self.thumbs = None if self.thumbs is None else self.thumbs[keep_N]
        self.names, self.file_hashes, self.row_hashes = (
            [value for value, is_kept in zip(values, keep_N, strict=True) if is_kept] if values else []
            for values in (self.names, self.file_hashes, self.row_hashes)
        )


Reading = Generator[Event, None, RawData]
"""Yields progress, returns the samples."""
