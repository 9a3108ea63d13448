"""One split's samples: in memory on the device when they fit, else read from disk batch by batch."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from service.reports.dataset import DatasetMeta
from service.resolution.defaults import normalisation
from worker.engine.data.packed import PackedDataset
from worker.engine.runtime.memory import free_memory

RESIDENT_SHARE = 0.5
"""Share of the device's free memory that all resident splits may take together."""
FLOAT_CACHE_BYTES = 512 * 2**20
FLOAT_SHARE = 0.25
"""A split whose normalised float32 form takes less than this, and than this share of its memory budget, is kept in that
form when nothing is augmented.
"""


@dataclass(frozen=True)
class Normalisation:
    """`(x - mean) / std` per channel or feature, on the 0-1 scale for images."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def of(cls, meta: DatasetMeta, normalize: str) -> "Normalisation":
        """The spec's choice for this dataset."""
        return cls(*normalisation(meta, normalize))


class SplitSamples:
    """One split's samples, resident on the device when they fit, else read from disk batch by batch."""

    def __init__(
        self, dataset: PackedDataset, split: str, device: torch.device, normalisation: Normalisation, *, cache: bool
    ) -> None:
        self.device, self.meta, self.file = device, dataset.meta, dataset.rows
        self.indices_N = dataset.indices(split)
        self.labels_N = torch.from_numpy(dataset.y[self.indices_N]).to(device)
        self.is_image = dataset.meta.modality == "image"
        self.elements = math.prod(dataset.meta.shape)
        view = (1, -1, 1, 1) if self.is_image else (1, -1)
        mean, std = (torch.tensor(x).view(view).to(device) for x in (normalisation.mean, normalisation.std))
        self.unit_scale, self.shift = 1 / std, -mean / std
        self.scale = self.unit_scale / 255 if self.is_image else self.unit_scale
        """`x * scale + shift` normalises stored values, `unit * unit_scale + shift` images on the 0-1 scale."""
        self.features: dict[tuple[object, ...], Any] = {}
        """Cached features of frozen layers for these samples, by all that they depend on."""
        self.stored: Tensor | None = None
        self.normalised: Tensor | None = None
        budget = _memory_budget(dataset, device)
        floats = 4 * self.elements * len(self.indices_N)
        if cache and floats <= min(FLOAT_CACHE_BYTES, FLOAT_SHARE * budget):
            self.normalised = self._gather(self.normalise)
        elif self.file.row_bytes * len(self.indices_N) <= budget:
            self.stored = self._gather(lambda stored: stored)

    @classmethod
    def of(
        cls, dataset: PackedDataset, split: str, device: torch.device, normalisation: Normalisation, *, cache: bool
    ) -> "SplitSamples":
        """The split's samples; runs that share an opened dataset share them."""
        key = ("source", split, str(device), normalisation, cache)
        if key not in dataset.shared:
            dataset.shared[key] = cls(dataset, split, device, normalisation, cache=cache)
        samples: SplitSamples = dataset.shared[key]
        return samples

    def _gather(self, prepare: Callable[[Tensor], Tensor]) -> Tensor:
        """The whole split on the device, read piece by piece."""
        step, count = self.file.rows_per_read, len(self.indices_N)
        first = prepare(self._read(self.indices_N[:1]))
        whole = torch.empty((count, *first.shape[1:]), dtype=first.dtype, device=self.device)
        for start in range(0, count, step):
            whole[start : start + step] = prepare(self._read(self.indices_N[start : start + step]))
        return whole

    def _read(self, indices_B: NDArray[np.int64]) -> Tensor:
        """Stored samples by their numbers in the dataset: uint8 images_BCHW or float32 features_BF."""
        stored = torch.from_numpy(self.file.read(indices_B))
        return (stored.permute(0, 3, 1, 2).contiguous() if self.is_image else stored).to(self.device)

    @property
    def resident_bytes(self) -> int:
        """Bytes that the samples take on the device."""
        resident = self.normalised if self.stored is None else self.stored
        return 0 if resident is None else resident.nbytes

    @property
    def is_resident(self) -> bool:
        """Whether batches are taken from memory on the device."""
        return self.stored is not None or self.normalised is not None

    def read_stored(self, positions_B: Tensor) -> Tensor:
        """Samples as they are stored (uint8 images_BCHW or float32 features_BF) at positions within the split."""
        if self.stored is not None:
            return self.stored.index_select(0, positions_B)
        return self._read(self.indices_N[positions_B.cpu().numpy()])

    def normalise(self, stored: Tensor) -> Tensor:
        """Float32 samples out of stored values, contiguous."""
        return stored.to(torch.float32, copy=True).mul_(self.scale).add_(self.shift)

    def read(self, positions_B: Tensor) -> Tensor:
        """Normalised samples without any random operation, as validation gets them."""
        if self.normalised is not None:
            return self.normalised.index_select(0, positions_B)
        return self.normalise(self.read_stored(positions_B))


def _memory_budget(dataset: PackedDataset, device: torch.device) -> float:
    """Bytes that one more resident split may take: all together get their share of what would be free without them."""
    others = (other for other in dataset.shared.values() if isinstance(other, SplitSamples))
    taken = sum(other.resident_bytes for other in others if other.device == device)
    return RESIDENT_SHARE * (free_memory(device) + taken) - taken
