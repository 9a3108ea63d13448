"""The packed dataset: decoded once, read from disk by row, shared by every job and trial on a host.

A folder with `meta.json` (DatasetMeta), `x.npy` (uint8 N,H,W,C images or float32 N,F features), `y.npy` (int64 N) and
`split.npy` (uint8 N: 0 train, 1 val, 2 test).
"""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.durable_files import sync
from service.reports.dataset import SPLITS, DatasetMeta
from worker.engine.data.row_file import RowFile

PACKED_FILES: tuple[str, ...] = ("meta.json", "x.npy", "y.npy", "split.npy")


@dataclass(frozen=True)
class PackedDataset:
    """An opened packed dataset; samples stay on disk until they are read."""

    folder: Path
    meta: DatasetMeta
    rows: RowFile
    """The samples, as a job reads them."""
    y: NDArray[np.int64]
    split: NDArray[np.uint8]
    shared: dict[tuple[object, ...], Any] = field(default_factory=dict, compare=False, repr=False)
    """What runs in one process share, the trials of a search for instance: samples in memory, cached features."""

    @classmethod
    def open(cls, folder: Path) -> "PackedDataset":
        """Opens the four files of `folder`; raises FileNotFoundError when one is missing."""
        return cls(
            folder=folder,
            meta=DatasetMeta.model_validate_json((folder / "meta.json").read_bytes()),
            rows=RowFile.of_array(folder / "x.npy"),
            y=np.load(folder / "y.npy", allow_pickle=False),
            split=np.load(folder / "split.npy", allow_pickle=False),
        )

    @cached_property
    def x(self) -> NDArray[np.uint8] | NDArray[np.float32]:
        """The samples as a memory map: for exploring them, not for a job, whose memory may be limited."""
        return np.load(self.folder / "x.npy", mmap_mode="r", allow_pickle=False)  # type: ignore[no-any-return]

    def indices(self, split: str) -> NDArray[np.int64]:
        """Positions of the samples of `train`, `val` or `test`, ascending."""
        return np.flatnonzero(self.split == SPLITS.index(split))


def write_packed(
    folder: Path,
    x: NDArray[np.uint8] | NDArray[np.float32],
    y: NDArray[np.int64],
    split: NDArray[np.uint8],
    meta: DatasetMeta,
) -> list[Path]:
    """Writes the four files to the disk and returns their paths; `x` must be uint8 images or float32 features, and may
    be the memory map of the folder's own `x.npy`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if isinstance(x, np.memmap) and Path(str(x.filename)) == (folder / "x.npy").resolve():
        x.flush()
    else:
        np.save(folder / "x.npy", np.ascontiguousarray(x), allow_pickle=False)
    np.save(folder / "y.npy", y.astype(np.int64), allow_pickle=False)
    np.save(folder / "split.npy", split.astype(np.uint8), allow_pickle=False)
    (folder / "meta.json").write_text(meta.model_dump_json(indent=1))
    paths = [folder / name for name in PACKED_FILES]
    for path in paths:
        sync(path)
    return paths
