"""Batches of normalised float32 samples on the training device.

Shapes: images_BCHW or features_BF, labels_B (int64), targets_BK (soft labels of mixup and cutmix), indices_B (positions
within the split). The order of an epoch is a pure function of (seed, epoch), the augmentation of those, the batch and
its size: a resumed run sees the same batches, whatever came before.
"""

import itertools
import math
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from service.reports.dataset import DatasetMeta
from service.specs.augmentation import AugmentOp
from worker.engine.data.augmentation import Augmenter, batches_at_once
from worker.engine.data.packed import PackedDataset
from worker.engine.memory import free_memory

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
RESIDENT_SHARE = 0.5
"""Share of the device's free memory that a resident split may take."""
FLOAT_CACHE_BYTES = 512 * 2**20
"""A split whose normalised float32 form is below this is kept in that form when nothing is augmented."""


@dataclass(frozen=True, slots=True)
class Batch:
    """One batch on the device."""

    inputs: Tensor
    labels_B: Tensor
    indices_B: Tensor
    targets_BK: Tensor | None = None


@dataclass(frozen=True)
class Normalisation:
    """`(x - mean) / std` per channel or feature, on the 0-1 scale for images."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def of(cls, meta: DatasetMeta, normalize: str) -> "Normalisation":
        """The spec's choice for this dataset; a constant channel is only centred."""
        channels = meta.shape[-1]
        if normalize == "none":
            return cls((0.0,) * channels, (1.0,) * channels)
        if normalize == "imagenet" and channels == 3:
            return cls(IMAGENET_MEAN, IMAGENET_STD)
        if normalize == "imagenet" and meta.modality == "image":
            return cls((sum(IMAGENET_MEAN) / 3,) * channels, (sum(IMAGENET_STD) / 3,) * channels)
        return cls(tuple(meta.mean), tuple(std if std > 1e-8 else 1.0 for std in meta.std))


def shuffled(indices_N: NDArray[np.int64], seed: int, epoch: int) -> NDArray[np.int64]:
    """The epoch's order: a pure function of seed and epoch."""
    return np.random.Generator(np.random.Philox(key=[seed, epoch])).permutation(indices_N)


class BatchSource(Protocol):
    """One split, batch by batch: what a loop, an evaluation or a sweep needs to know of its data."""

    device: torch.device
    samples: int

    @property
    def labels_N(self) -> Tensor:
        """Label of each sample of the split, in the split's order."""

    @property
    def indices_N(self) -> NDArray[np.int64]:
        """Number of each sample within the dataset."""

    def __len__(self) -> int:
        """Batches in an epoch."""

    def epoch(self, number: int, start_batch: int = 0) -> Iterator[Batch]:
        """The batches of epoch `number` (from 1), from batch `start_batch` on."""


class Source:
    """One split's samples, resident on the device when they fit, else read from the memory map batch by batch."""

    def __init__(
        self, dataset: PackedDataset, split: str, device: torch.device, normalisation: Normalisation, *, cache: bool
    ) -> None:
        self.device, self.meta = device, dataset.meta
        self.indices_N = dataset.indices(split)
        self.labels_N = torch.from_numpy(dataset.y[self.indices_N]).to(device)
        self.is_image = dataset.meta.modality == "image"
        self.elements = math.prod(dataset.meta.shape)
        view = (1, -1, 1, 1) if self.is_image else (1, -1)
        mean, std = (torch.tensor(each).view(view).to(device) for each in (normalisation.mean, normalisation.std))
        self.unit_scale, self.shift = 1 / std, -mean / std
        self.scale = self.unit_scale / 255 if self.is_image else self.unit_scale
        """`x * scale + shift` normalises stored values, `unit * unit_scale + shift` images on the 0-1 scale."""
        self.memmap = dataset.x
        self.derived: dict[tuple[object, ...], Any] = {}
        """Activations of frozen layers for these samples, by what they were made with."""
        self.raw: Tensor | None = None
        self.normalised: Tensor | None = None
        if self._fits(dataset):
            raw = self._channels_first(torch.from_numpy(dataset.x[self.indices_N])).contiguous().to(device)
            if cache and raw.numel() * 4 <= FLOAT_CACHE_BYTES:
                self.normalised = self.normalise(raw)
            else:
                self.raw = raw

    @classmethod
    def of(
        cls, dataset: PackedDataset, split: str, device: torch.device, normalisation: Normalisation, *, cache: bool
    ) -> "Source":
        """The split's source; runs that share an opened dataset share it."""
        key = ("source", split, str(device), normalisation, cache)
        if key not in dataset.shared:
            dataset.shared[key] = cls(dataset, split, device, normalisation, cache=cache)
        found: Source = dataset.shared[key]
        return found

    def _fits(self, dataset: PackedDataset) -> bool:
        bytes_needed = len(self.indices_N) * int(np.prod(dataset.x.shape[1:])) * dataset.x.itemsize
        return bytes_needed <= RESIDENT_SHARE * free_memory(self.device)

    def _channels_first(self, x: Tensor) -> Tensor:
        return x.permute(0, 3, 1, 2) if self.is_image else x

    @property
    def resident(self) -> bool:
        """Whether batches are taken from memory on the device."""
        return self.raw is not None or self.normalised is not None

    def rows(self, positions_B: Tensor) -> Tensor:
        """Raw samples (uint8 images_BCHW or float32 features_BF) at positions within the split."""
        if self.raw is not None:
            return self.raw.index_select(0, positions_B)
        wanted = self.indices_N[positions_B.cpu().numpy()]
        order = np.argsort(wanted)  # ascending reads are sequential on disk
        gathered = np.empty((len(wanted), *self.memmap.shape[1:]), dtype=self.memmap.dtype)
        gathered[order] = self.memmap[wanted[order]]
        return self._channels_first(torch.from_numpy(gathered)).to(self.device)

    def normalise(self, raw: Tensor) -> Tensor:
        """Float32 samples out of stored values, contiguous."""
        return raw.to(torch.float32, copy=True).mul_(self.scale).add_(self.shift)

    def plain(self, positions_B: Tensor) -> Tensor:
        """Normalised samples, no random operation: what validation sees."""
        if self.normalised is not None:
            return self.normalised.index_select(0, positions_B)
        return self.normalise(self.rows(positions_B))


class Batches:
    """Batches of one split, epoch by epoch."""

    def __init__(
        self,
        dataset: PackedDataset,
        split: str,
        batch_size: int,
        device: torch.device,
        *,
        seed: int = 0,
        shuffle: bool = False,
        training: bool | None = None,
        drop_last: bool = False,
        normalize: str = "dataset",
        augment: tuple[AugmentOp, ...] = (),
    ) -> None:
        self.batch_size, self.device, self.seed = batch_size, device, seed
        self.shuffle, self.drop_last = shuffle, drop_last
        self.training = shuffle if training is None else training
        self.normalisation = Normalisation.of(dataset.meta, normalize)
        random = augment if dataset.meta.modality == "image" else ()
        self.augmenter = Augmenter(random, len(dataset.meta.classes)) if random else None
        self.source = Source.of(dataset, split, device, self.normalisation, cache=self.augmenter is None)
        self.samples = len(self.source.indices_N)

    @property
    def labels_N(self) -> Tensor:
        """Label of each sample of the split, in the split's order."""
        return self.source.labels_N

    @property
    def indices_N(self) -> NDArray[np.int64]:
        """Number of each sample within the dataset."""
        return self.source.indices_N

    def __len__(self) -> int:
        """Batches in an epoch; in training a last batch of one sample is left out (BatchNorm needs two)."""
        whole, rest = divmod(self.samples, self.batch_size)
        if whole and (self.drop_last or (self.training and rest == 1)):
            rest = 0
        return whole + (rest > 0)

    def order(self, epoch: int) -> NDArray[np.int64]:
        """Positions within the split in the order of this epoch."""
        positions = np.arange(self.samples, dtype=np.int64)
        return shuffled(positions, self.seed, epoch) if self.shuffle else positions

    def epoch(self, number: int, start_batch: int = 0) -> Iterator[Batch]:
        """The batches of epoch `number` (from 1), from batch `start_batch` on."""
        positions_N = torch.from_numpy(self.order(number)).to(self.device)
        batches = self._batches(positions_N, number, start_batch)
        return batches if self.source.resident else read_ahead(batches)

    def _batches(self, positions_N: Tensor, epoch: int, start_batch: int) -> Iterator[Batch]:
        if self.augmenter is None:
            for index in range(start_batch, len(self)):
                positions_B = positions_N[index * self.batch_size : (index + 1) * self.batch_size]
                labels_B = self.labels_N.index_select(0, positions_B)
                yield Batch(self.source.plain(positions_B), labels_B, positions_B)
            return
        group = batches_at_once(self.batch_size, self.source.elements, self.device.type)
        for first in range(start_batch - start_batch % group, len(self), group):
            last = min(first + group, len(self))
            chunk_M = positions_N[first * self.batch_size : last * self.batch_size]
            yield from self._augmented(self.augmenter, chunk_M, epoch, first)[max(start_batch - first, 0) :]

    def _augmented(self, augmenter: Augmenter, positions_M: Tensor, epoch: int, first: int) -> list[Batch]:
        """Several batches that were augmented at once, from batch `first` on."""
        generator = torch.Generator().manual_seed(_mix(self.seed, epoch, first))
        labels_M = self.labels_N.index_select(0, positions_M)
        unit_MCHW = augmenter.images(self.source.rows(positions_M).float().div_(255), generator)
        images_MCHW = torch.addcmul(self.source.shift, unit_MCHW, self.source.unit_scale)
        images_MCHW, targets_MK = augmenter.mix(images_MCHW, labels_M, generator)
        soft = itertools.repeat(None) if targets_MK is None else torch.split(targets_MK, self.batch_size)
        hard = (torch.split(each, self.batch_size) for each in (images_MCHW, labels_M, positions_M))
        return [Batch(*part) for part in zip(*hard, soft, strict=False)]


def read_ahead(batches: Iterator[Batch], depth: int = 2) -> Iterator[Batch]:
    """The same batches, read and decoded by a thread while the one before is trained on (NumPy and torch release the
    interpreter for both).
    """
    waiting: deque[Future[Batch | None]] = deque()
    with ThreadPoolExecutor(1, thread_name_prefix="batches") as reader:
        try:
            waiting.extend(reader.submit(next, batches, None) for _ in range(depth))
            while (batch := waiting.popleft().result()) is not None:
                waiting.append(reader.submit(next, batches, None))
                yield batch
        finally:
            for future in waiting:
                future.cancel()


def _mix(seed: int, epoch: int, index: int) -> int:
    """One 63-bit seed out of three numbers (NumPy's SeedSequence)."""
    low, high = np.random.SeedSequence([seed, epoch, index]).generate_state(2, np.uint32)
    return int(low) | (int(high) & 0x7FFFFFFF) << 32
