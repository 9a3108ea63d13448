"""What the checks look at: the raw data, their splits, and which samples are the same."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.reports.dataset import SPLITS, DatasetMeta
from worker.importing.duplicates import Duplicates
from worker.importing.raw_data import RawData


@dataclass(frozen=True)
class DatasetView:
    """A dataset as it will be packed, and what the checks ask of it."""

    raw: RawData
    split_N: NDArray[np.uint8]
    meta: DatasetMeta
    duplicates: Duplicates

    def name(self, index: int) -> str:
        """What people call a sample."""
        return self.raw.names[index] if self.raw.names else f"sample {index}"

    def counts(self, split: str) -> NDArray[np.int64]:
        """Samples of each class in one split."""
        labels = self.raw.y[self.split_N == SPLITS.index(split)]
        return np.bincount(labels, minlength=len(self.raw.classes))

    def members(self, groups_N: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """Groups of two and more, the largest first."""
        order = np.argsort(groups_N, kind="stable")
        cuts = np.flatnonzero(np.diff(groups_N[order])) + 1
        groups = [part for part in np.split(order, cuts) if len(part) > 1]
        return sorted(groups, key=lambda part: (-len(part), int(part[0])))
