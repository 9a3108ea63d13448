"""Cached features: what frozen layers put out for each sample of a split, and batches of them in place of the samples.

Shapes: features_N... (one a sample, in the split's order), targets_NK (soft labels of mixup and cutmix).
"""

import math
import shutil
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from worker.engine.data.batches import Batch, Batches, prefetch
from worker.engine.data.row_file import RowFile
from worker.engine.data.split_samples import RESIDENT_SHARE
from worker.engine.runtime.memory import free_memory

DISK_SHARE = 0.5
"""Of the free disk under the scratch folder that features may take."""


class FeatureStore:
    """Where features may be kept: in memory of the device while that lasts, then in files."""

    def __init__(self, device: torch.device, folder: Path, memory_bytes: int, disk_bytes: int) -> None:
        self.device, self.folder = device, folder
        self.memory_bytes, self.disk_bytes = memory_bytes, disk_bytes

    @classmethod
    def of_free_space(cls, device: torch.device, folder: Path) -> "FeatureStore":
        """A store that takes its share of what is free now."""
        disk = int(DISK_SHARE * shutil.disk_usage(folder).free)
        return cls(device, folder, int(RESIDENT_SHARE * free_memory(device)), disk)

    def allocate(self, samples: int, copies: int, like: Tensor) -> list["Features"] | None:
        """Space for `copies` times one feature like `like[0]` a sample; None when neither place holds them."""
        shape = (samples, *like.shape[1:])
        size = copies * math.prod(shape) * like.element_size()
        if size <= self.memory_bytes:
            self.memory_bytes -= size
            return [MemoryFeatures(torch.empty(shape, dtype=like.dtype, device=self.device)) for _ in range(copies)]
        if size <= self.disk_bytes:
            self.disk_bytes -= size
            return [DiskFeatures(self.folder, shape, like.dtype) for _ in range(copies)]
        return None


class Features(Protocol):
    """Features by their sample's position in the split."""

    is_resident: bool

    def write(self, positions_B: Tensor, features_B: Tensor) -> None:
        """Stores one feature for each position."""

    def read(self, positions_B: Tensor) -> Tensor:
        """The features that were stored for these positions."""


class MemoryFeatures:
    """Features on the device."""

    is_resident = True

    def __init__(self, features_N: Tensor) -> None:
        self.features_N = features_N

    def write(self, positions_B: Tensor, features_B: Tensor) -> None:
        """Stores one feature for each position."""
        self.features_N[positions_B] = features_B

    def read(self, positions_B: Tensor) -> Tensor:
        """The features that were stored for these positions."""
        return self.features_N.index_select(0, positions_B)


class DiskFeatures:
    """Features in a file of their own; torch's bfloat16, which NumPy lacks, is stored as the bytes it is."""

    is_resident = False

    def __init__(self, folder: Path, shape: tuple[int, ...], dtype: torch.dtype) -> None:
        self.shape, self.dtype = shape, dtype
        row_bytes = math.prod(shape[1:]) * dtype.itemsize
        path = folder / f"features-{uuid.uuid4().hex}.bin"
        self.file = RowFile.create(path, (shape[0], row_bytes), np.dtype(np.uint8))

    def write(self, positions_B: Tensor, features_B: Tensor) -> None:
        """Stores one feature for each position."""
        rows = features_B.to("cpu", self.dtype).contiguous().flatten(1).view(torch.uint8)
        self.file.write(positions_B.cpu().numpy(), rows.numpy())

    def read(self, positions_B: Tensor) -> Tensor:
        """The features that were stored for these positions."""
        rows = torch.from_numpy(self.file.read(positions_B.cpu().numpy()))
        return rows.view(self.dtype).view(-1, *self.shape[1:]).to(positions_B.device)


@dataclass(frozen=True)
class FeatureView:
    """The features of a whole split, of its images or of one augmented view of them; `targets_NK` when the images were
    mixed.
    """

    features: Features
    targets_NK: Tensor | None = None

    def batch(self, positions_B: Tensor, labels_B: Tensor) -> Batch:
        """Features of some samples, on the labels' device."""
        targets_BK = None if self.targets_NK is None else self.targets_NK.index_select(0, positions_B)
        return Batch(self.features.read(positions_B), labels_B, positions_B, targets_BK)


class CachedBatches:
    """A BatchSource of cached features: the order and the sizes are those of the images' batches."""

    def __init__(self, images: Batches, views: Sequence[FeatureView]) -> None:
        self.device, self.samples, self.views = images.device, images.samples, views
        self.batch_size, self.batches, self.order = images.batch_size, len(images), images.order
        self.labels_N, self.indices_N = images.labels_N, images.indices_N

    def __len__(self) -> int:
        """Batches in an epoch."""
        return self.batches

    def epoch(self, number: int, start_batch: int = 0) -> Iterator[Batch]:
        """The batches of epoch `number` (from 1), from batch `start_batch` on."""
        view = self.views[(number - 1) % len(self.views)]
        batches = self._batches(view, number, start_batch)
        return batches if view.features.is_resident else prefetch(batches)

    def _batches(self, view: FeatureView, number: int, start_batch: int) -> Iterator[Batch]:
        positions_N = torch.from_numpy(self.order(number)).to(self.device)
        for index in range(start_batch, self.batches):
            positions_B = positions_N[index * self.batch_size : (index + 1) * self.batch_size]
            yield view.batch(positions_B, self.labels_N.index_select(0, positions_B))


class UncachedBatches(CachedBatches):
    """A BatchSource that computes the features of each batch when it is asked for: for a split that is read once."""

    def __init__(self, images: Batches, frozen: Callable[[Tensor], Tensor]) -> None:
        super().__init__(images, [])
        self.images, self.frozen = images, frozen

    def epoch(self, number: int, start_batch: int = 0) -> Iterator[Batch]:
        """The batches of epoch `number` (from 1), from batch `start_batch` on."""
        for batch in self.images.epoch(number, start_batch):
            yield Batch(self.frozen(batch.inputs), batch.labels_B, batch.indices_B, batch.targets_BK)
