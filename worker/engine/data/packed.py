"""The packed dataset: decoded once, memory-mapped, shared by every job and trial on a host.

A folder with `meta.json` (DatasetMeta), `x.npy` (uint8 N,H,W,C images or float32 N,F features), `y.npy` (int64 N) and
`split.npy` (uint8 N: 0 train, 1 val, 2 test).
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.reports.dataset import SPLITS, DatasetMeta
from worker.engine.data.npy import sync

PACKED_FILES: tuple[str, ...] = ("meta.json", "x.npy", "y.npy", "split.npy")


@dataclass(frozen=True)
class PackedDataset:
    """An opened packed dataset; `x` stays on disk until it is read."""

    folder: Path
    meta: DatasetMeta
    x: NDArray[np.uint8] | NDArray[np.float32]
    y: NDArray[np.int64]
    split: NDArray[np.uint8]
    shared: dict[tuple[object, ...], Any] = field(default_factory=dict, compare=False, repr=False)
    """What was made of it for one run and serves the next in the same process: the trials of a search."""

    @classmethod
    def open(cls, folder: Path) -> "PackedDataset":
        """Opens the four files of `folder`; raises FileNotFoundError when one is missing."""
        return cls(
            folder=folder,
            meta=DatasetMeta.model_validate_json((folder / "meta.json").read_bytes()),
            x=np.load(folder / "x.npy", mmap_mode="r", allow_pickle=False),
            y=np.load(folder / "y.npy", allow_pickle=False),
            split=np.load(folder / "split.npy", allow_pickle=False),
        )

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
        np.save(folder / "x.npy", x, allow_pickle=False)
    np.save(folder / "y.npy", y.astype(np.int64), allow_pickle=False)
    np.save(folder / "split.npy", split.astype(np.uint8), allow_pickle=False)
    (folder / "meta.json").write_text(meta.model_dump_json(indent=1))
    paths = [folder / name for name in PACKED_FILES]
    for path in paths:
        sync(path)
    return paths
