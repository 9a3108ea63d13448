"""Batches of cached activations: what a frozen prefix put out for each sample, in place of the samples.

Shapes: activations_N... (one a sample, in the split's order), targets_NK (soft labels of mixup and cutmix).
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
from numpy.typing import NDArray
from torch import Tensor

from worker.engine.data.batches import Batch, Batches, read_ahead
from worker.engine.data.row_file import RowFile
from worker.engine.data.split_samples import RESIDENT_SHARE
from worker.engine.runtime.memory import free_memory

DISK_SHARE = 0.5
"""Of the free disk under the scratch folder that activations may take."""


class Room:
    """Where activations may be put: memory of the device first, then a file."""

    def __init__(self, device: torch.device, folder: Path, memory_bytes: int, disk_bytes: int) -> None:
        self.device, self.folder = device, folder
        self.memory_bytes, self.disk_bytes = memory_bytes, disk_bytes

    @classmethod
    def on(cls, device: torch.device, folder: Path) -> "Room":
        """What is free now."""
        disk = int(DISK_SHARE * shutil.disk_usage(folder).free)
        return cls(device, folder, int(RESIDENT_SHARE * free_memory(device)), disk)

    def take(self, samples: int, copies: int, like: Tensor) -> list["Shelf"] | None:
        """Space for `copies` times one activation like `like[0]` a sample; None when neither place holds them."""
        shape = (samples, *like.shape[1:])
        size = copies * math.prod(shape) * like.element_size()
        if size <= self.memory_bytes:
            self.memory_bytes -= size
            return [MemoryShelf(torch.empty(shape, dtype=like.dtype, device=self.device)) for _ in range(copies)]
        if size <= self.disk_bytes:
            self.disk_bytes -= size
            return [DiskShelf(self.folder, shape, like.dtype) for _ in range(copies)]
        return None


class Shelf(Protocol):
    """Activations by their sample's position in the split."""

    is_resident: bool

    def put(self, positions_B: Tensor, activations_B: Tensor) -> None:
        """Keeps one activation for each position."""

    def take(self, positions_B: Tensor) -> Tensor:
        """What was kept for these positions."""


class MemoryShelf:
    """Activations on the device."""

    is_resident = True

    def __init__(self, space_N: Tensor) -> None:
        self.space_N = space_N

    def put(self, positions_B: Tensor, activations_B: Tensor) -> None:
        """Keeps one activation for each position."""
        self.space_N[positions_B] = activations_B

    def take(self, positions_B: Tensor) -> Tensor:
        """What was kept for these positions."""
        return self.space_N.index_select(0, positions_B)


class DiskShelf:
    """Activations in a file of their own; torch's bfloat16, which NumPy lacks, is stored as the bytes it is."""

    is_resident = False

    def __init__(self, folder: Path, shape: tuple[int, ...], dtype: torch.dtype) -> None:
        self.shape, self.dtype = shape, dtype
        row_bytes = math.prod(shape[1:]) * dtype.itemsize
        path = folder / f"activations-{uuid.uuid4().hex}.bin"
        self.file = RowFile.create(path, (shape[0], row_bytes), np.dtype(np.uint8))

    def put(self, positions_B: Tensor, activations_B: Tensor) -> None:
        """Keeps one activation for each position."""
        rows = activations_B.to("cpu", self.dtype).contiguous().flatten(1).view(torch.uint8)
        self.file.write(positions_B.cpu().numpy(), rows.numpy())

    def take(self, positions_B: Tensor) -> Tensor:
        """What was kept for these positions."""
        rows = torch.from_numpy(self.file.read(positions_B.cpu().numpy()))
        return rows.view(self.dtype).view(-1, *self.shape[1:]).to(positions_B.device)


@dataclass(frozen=True)
class View:
    """The activations of a whole split, once; `targets_NK` when its images were mixed."""

    activations_N: Shelf
    targets_NK: Tensor | None = None

    def batch(self, positions_B: Tensor, labels_B: Tensor) -> Batch:
        """Activations of some samples, on the labels' device."""
        inputs = self.activations_N.take(positions_B)
        targets_BK = None if self.targets_NK is None else self.targets_NK.index_select(0, positions_B)
        return Batch(inputs, labels_B, positions_B, targets_BK)


class CachedBatches:
    """A BatchSource of activations: the order and the sizes are those of the images' batches."""

    def __init__(self, images: Batches, views: Sequence[View]) -> None:
        self.device, self.samples, self.views = images.device, images.samples, views
        self.batch_size, self.batches, self.order = images.batch_size, len(images), images.order
        self._labels_N, self._indices_N = images.labels_N, images.indices_N

    @property
    def labels_N(self) -> Tensor:
        """Label of each sample of the split, in the split's order."""
        return self._labels_N

    @property
    def indices_N(self) -> NDArray[np.int64]:
        """Number of each sample within the dataset."""
        return self._indices_N

    def __len__(self) -> int:
        """Batches in an epoch."""
        return self.batches

    def epoch(self, number: int, start_batch: int = 0) -> Iterator[Batch]:
        """The batches of epoch `number` (from 1), from batch `start_batch` on."""
        view = self.views[(number - 1) % len(self.views)]
        batches = self._batches(view, number, start_batch)
        return batches if view.activations_N.is_resident else read_ahead(batches)

    def _batches(self, view: View, number: int, start_batch: int) -> Iterator[Batch]:
        positions_N = torch.from_numpy(self.order(number)).to(self.device)
        for index in range(start_batch, self.batches):
            positions_B = positions_N[index * self.batch_size : (index + 1) * self.batch_size]
            yield view.batch(positions_B, self._labels_N.index_select(0, positions_B))


class PassingBatches(CachedBatches):
    """A BatchSource that sends images through the prefix as they are asked for: for a split that is read once."""

    def __init__(self, images: Batches, prefix: Callable[[Tensor], Tensor]) -> None:
        super().__init__(images, [])
        self.images, self.prefix = images, prefix

    def epoch(self, number: int, start_batch: int = 0) -> Iterator[Batch]:
        """The batches of epoch `number` (from 1), from batch `start_batch` on."""
        for batch in self.images.epoch(number, start_batch):
            yield Batch(self.prefix(batch.inputs), batch.labels_B, batch.indices_B, batch.targets_BK)
