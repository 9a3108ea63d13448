"""Batches of normalised float32 samples on the training device.

Shapes: images_BCHW or features_BF, labels_B (int64), targets_BK (soft labels of mixup and cutmix), indices_B (positions
within the split). The order of an epoch is a pure function of (seed, epoch), the augmentation of those, the batch and
its size: a resumed run sees the same batches, whatever came before.
"""

import itertools
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from service.specs.augmentation import AugmentOp
from worker.engine.data.augmentation.augmenter import Augmenter, batches_at_once
from worker.engine.data.packed import PackedDataset
from worker.engine.data.split_samples import Normalisation, SplitSamples


@dataclass(frozen=True, slots=True)
class Batch:
    """One batch on the device."""

    inputs: Tensor
    labels_B: Tensor
    indices_B: Tensor
    targets_BK: Tensor | None = None

    @property
    def goals(self) -> Tensor:
        """What the model should answer: soft labels where images were mixed, else labels."""
        return self.labels_B if self.targets_BK is None else self.targets_BK


def shuffled(indices_N: NDArray[np.int64], seed: int, epoch: int) -> NDArray[np.int64]:
    """The epoch's order: a pure function of seed and epoch."""
    return np.random.Generator(np.random.Philox(key=[seed, epoch])).permutation(indices_N)


class BatchSource(Protocol):
    """One split, batch by batch: all that a training loop, an evaluation or a sweep needs to know of its data."""

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
        self.source = SplitSamples.of(dataset, split, device, self.normalisation, cache=self.augmenter is None)
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
        return batches if self.source.is_resident else prefetch(batches)

    def _batches(self, positions_N: Tensor, epoch: int, start_batch: int) -> Iterator[Batch]:
        if self.augmenter is None:
            for index in range(start_batch, len(self)):
                positions_B = positions_N[index * self.batch_size : (index + 1) * self.batch_size]
                labels_B = self.labels_N.index_select(0, positions_B)
                yield Batch(self.source.read(positions_B), labels_B, positions_B)
            return
        group = batches_at_once(self.batch_size, self.source.elements, self.device.type)
        for first in range(start_batch - start_batch % group, len(self), group):
            last = min(first + group, len(self))
            chunk_M = positions_N[first * self.batch_size : last * self.batch_size]
            yield from self._augmented(self.augmenter, chunk_M, epoch, first)[max(start_batch - first, 0) :]

    def _augmented(self, augmenter: Augmenter, positions_M: Tensor, epoch: int, first: int) -> list[Batch]:
        """Several batches that were augmented at once, from batch `first` on."""
        generator = torch.Generator().manual_seed(_combined_seed(self.seed, epoch, first))
        labels_M = self.labels_N.index_select(0, positions_M)
        unit_MCHW = augmenter.images(self.source.read_stored(positions_M).float().div_(255), generator)
        images_MCHW = torch.addcmul(self.source.shift, unit_MCHW, self.source.unit_scale)
        images_MCHW, targets_MK = augmenter.mix(images_MCHW, labels_M, generator)
        soft = itertools.repeat(None) if targets_MK is None else torch.split(targets_MK, self.batch_size)
        hard = (torch.split(x, self.batch_size) for x in (images_MCHW, labels_M, positions_M))
        return [Batch(*part) for part in zip(*hard, soft, strict=False)]


def prefetch(batches: Iterator[Batch], depth: int = 2) -> Iterator[Batch]:
    """The same batches, read and decoded by a thread while the one before is trained on (NumPy and torch release the
    interpreter for both).
    """
    pending: deque[Future[Batch | None]] = deque()
    with ThreadPoolExecutor(1, thread_name_prefix="batches") as reader:
        try:
            pending.extend(reader.submit(next, batches, None) for _ in range(depth))
            while (batch := pending.popleft().result()) is not None:
                pending.append(reader.submit(next, batches, None))
                yield batch
        finally:
            for future in pending:
                future.cancel()


def _combined_seed(seed: int, epoch: int, index: int) -> int:
    """One 63-bit seed out of three numbers (NumPy's SeedSequence)."""
    low, high = np.random.SeedSequence([seed, epoch, index]).generate_state(2, np.uint32)
    return int(low) | (int(high) & 0x7FFFFFFF) << 32
