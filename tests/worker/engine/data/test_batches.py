"""Batches: resident or streamed, in an order that is a pure function of seed and epoch."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from service.resolution.presets import PRESETS
from service.specs.augmentation import AugmentOp
from tests.worker.engine.conftest import pack
from worker.engine.data import split_samples as module
from worker.engine.data.batches import Batch, Batches, prefetch
from worker.engine.data.packed import PackedDataset

CPU = torch.device("cpu")


def batches_of(folder: Path, **options: Any) -> Batches:
    return Batches(PackedDataset.open(folder), "train", options.pop("batch_size", 64), CPU, **options)


def everything(batches: Batches, epoch: int = 1, start: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    parts = [(batch.inputs, batch.labels_B, batch.indices_B) for batch in batches.epoch(epoch, start)]
    inputs, labels_N, indices_N = (torch.cat(each) for each in zip(*parts, strict=True))
    return inputs, labels_N, indices_N


@pytest.fixture(params=["cached", "resident", "streamed"])
def place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Normalised in memory, raw in memory, or read from disk batch by batch."""
    name: str = request.param
    if name != "cached":
        monkeypatch.setattr(module, "FLOAT_CACHE_BYTES", 0)
    if name == "streamed":
        monkeypatch.setattr(module, "RESIDENT_SHARE", 0.0)
    return name


def test_batches_hold_the_normalised_samples_wherever_they_lie(place: str, few_digits: Path) -> None:
    batches = batches_of(few_digits, shuffle=True, seed=3)
    assert batches.source.is_resident == (place != "streamed")
    inputs, labels_N, indices_N = everything(batches)
    dataset = PackedDataset.open(few_digits)
    chosen = dataset.indices("train")[indices_N.numpy()]
    raw = torch.from_numpy(dataset.x[chosen]).permute(0, 3, 1, 2).double() / 255
    expected = (raw - dataset.meta.mean[0]) / dataset.meta.std[0]
    assert torch.allclose(inputs.double(), expected, atol=1e-5)
    assert labels_N.tolist() == dataset.y[chosen].tolist()


def test_augmented_batches_are_the_same_wherever_the_samples_lie(place: str, few_digits: Path) -> None:
    batches = batches_of(few_digits, shuffle=True, augment=PRESETS["strong"])
    inputs, _, _ = everything(batches)
    assert inputs.double().sum().item() == pytest.approx(_reference_sum(few_digits), rel=1e-6)


def _reference_sum(folder: Path) -> float:
    """Of the batches of the very same operations on samples that are taken straight from the file."""
    dataset = PackedDataset.open(folder)
    batches = Batches(dataset, "train", 64, CPU, shuffle=True, augment=PRESETS["strong"])
    raw = torch.from_numpy(dataset.x[dataset.indices("train")]).permute(0, 3, 1, 2).contiguous()
    batches.source.stored = raw
    return float(everything(batches)[0].double().sum())


def test_epoch_can_start_at_any_batch(place: str, few_digits: Path) -> None:
    ops: tuple[AugmentOp, ...] = PRESETS["light"]
    batches = batches_of(few_digits, shuffle=True, augment=ops)
    whole = list(batches.epoch(2))
    for start in (0, 1, 4, 5):
        rest = list(batches.epoch(2, start))
        assert len(rest) == len(whole) - start
        assert all(torch.equal(a.inputs, b.inputs) for a, b in zip(rest, whole[start:], strict=True))


def test_order_depends_on_seed_and_epoch_alone(few_digits: Path) -> None:
    one, other = (batches_of(few_digits, shuffle=True, seed=5) for _ in range(2))
    list(other.epoch(1))
    assert one.order(2).tolist() == other.order(2).tolist()
    assert one.order(2).tolist() != one.order(1).tolist()
    assert one.order(2).tolist() != batches_of(few_digits, shuffle=True, seed=6).order(2).tolist()
    assert batches_of(few_digits).order(9).tolist() == list(range(300))


@pytest.mark.parametrize(
    ("options", "sizes"),
    [
        ({"batch_size": 128}, [128, 128, 44]),
        ({"batch_size": 128, "drop_last": True}, [128, 128]),
        ({"batch_size": 299, "training": True}, [299]),
        ({"batch_size": 299}, [299, 1]),
        ({"batch_size": 500, "drop_last": True}, [300]),
        ({"batch_size": 1, "training": True}, [1] * 300),
    ],
)
def test_sizes_of_the_last_batches(options: dict[str, Any], sizes: list[int], few_digits: Path) -> None:
    batches = batches_of(few_digits, **options)
    assert [len(batch.labels_B) for batch in batches.epoch(1)] == sizes
    assert len(batches) == len(sizes)


@pytest.mark.parametrize(
    ("normalize", "mean", "std"), [("none", 0.0, 1.0), ("imagenet", (0.485 + 0.456 + 0.406) / 3, 0.226)]
)
def test_normalisation_can_be_chosen(normalize: str, mean: float, std: float, few_digits: Path) -> None:
    inputs, _, _ = everything(batches_of(few_digits, normalize=normalize))
    raw = torch.from_numpy(np.load(few_digits / "x.npy")[:300]).permute(0, 3, 1, 2) / 255
    assert torch.allclose(inputs, (raw - mean) / std, atol=1e-5)


def test_constant_feature_is_only_centred(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    x[:, 1] = 5.0
    folder = pack(tmp_path / "data", x, np.arange(40) % 2, np.zeros(40, np.uint8))
    inputs, _, _ = everything(batches_of(folder))
    assert torch.allclose(inputs[:, 1], torch.zeros(40))
    assert torch.allclose(inputs[:, [0, 2]].std(0, correction=0), torch.ones(2), atol=1e-5)


def test_reading_ahead_keeps_order_and_leaves_no_thread_behind() -> None:
    def numbers() -> Iterator[Batch]:
        for number in range(20):
            yield Batch(torch.tensor([number]), torch.tensor([0]), torch.tensor([0]))

    before = threading.active_count()
    assert [int(batch.inputs) for batch in prefetch(numbers())] == list(range(20))
    broken_off = prefetch(numbers())
    assert int(next(broken_off).inputs) == 0
    assert threading.active_count() == before + 1
    broken_off.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


def test_fault_in_reading_reaches_the_one_who_reads() -> None:
    def broken() -> Iterator[Batch]:
        yield Batch(torch.tensor([1]), torch.tensor([0]), torch.tensor([0]))
        raise OSError("the disk is gone")

    ahead = prefetch(broken())
    assert int(next(ahead).inputs) == 1
    with pytest.raises(OSError, match="disk is gone"):
        next(ahead)
