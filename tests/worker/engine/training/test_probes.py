"""Clean probes cost a set share of the epoch and see what one pass over the samples would see."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from worker.engine.data.batches import Batches
from worker.engine.data.packed import PackedDataset
from worker.engine.runtime.precision import Precision
from worker.engine.training.probes import Probe, Samples, build_probe, dead_units, measure

CPU = Precision(torch.device("cpu"))


class Twice(nn.Module):
    """One ReLU module that runs in two places, as in torchvision's ResNets."""

    def __init__(self) -> None:
        super().__init__()
        self.relu, self.narrow = nn.ReLU(inplace=True), nn.Linear(4, 2)

    def forward(self, inputs_BF: Tensor) -> Tensor:
        hidden_BF = self.relu(inputs_BF.clone())
        logits_BK: Tensor = self.relu(self.narrow(hidden_BF))
        return logits_BK


def shares(model: nn.Module, *passes: Tensor) -> list[float]:
    with torch.no_grad(), dead_units(model) as found:
        for inputs in passes:
            model(inputs)
    return [float(dead_U.float().mean()) for dead_U in found.dead]


@pytest.mark.parametrize(("samples", "expected"), [(100, 100), (1000, 256), (9600, 300), (60000, 512)])
def test_a_probe_follows_the_training_set_within_limits(digits: Path, samples: int, expected: int) -> None:
    train, val = (Batches(PackedDataset.open(digits), split, 64, CPU.device) for split in ("train", "val"))
    train.source.normalised = train.source.stored = None
    train.samples, train.source.indices_N = samples, train.source.indices_N.repeat(samples)[:samples]
    train.source.labels_N = torch.zeros(samples, dtype=torch.int64)
    assert len(build_probe(train, val, 0).labels_B) == expected


def test_a_unit_is_dead_when_no_sample_of_any_part_wakes_it() -> None:
    first, second = torch.tensor([[1.0, -1.0, -1.0]]), torch.tensor([[-1.0, 2.0, -1.0]])
    assert shares(nn.Sequential(nn.ReLU()), first) == pytest.approx([2 / 3])
    assert shares(nn.Sequential(nn.ReLU()), first, second) == pytest.approx([1 / 3])


def test_a_channel_is_dead_when_all_of_its_positions_are() -> None:
    images_BCHW = torch.full((2, 4, 3, 3), -1.0)
    images_BCHW[1, 2, 0, 2] = 0.5
    assert shares(nn.Sequential(nn.ReLU()), images_BCHW) == [0.75]
    assert shares(nn.Sequential(nn.ReLU()), images_BCHW.contiguous(memory_format=torch.channels_last)) == [0.75]


def test_a_layer_that_runs_twice_in_a_pass_counts_twice() -> None:
    model = Twice()
    with torch.no_grad():
        model.narrow.weight.fill_(-1.0)
        model.narrow.bias.zero_()
    inputs_BF = torch.tensor([[1.0, 1.0, 1.0, -1.0]])
    assert shares(model, inputs_BF, inputs_BF) == [0.25, 1.0]


def test_parts_of_a_probe_give_the_numbers_of_the_whole() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
    inputs, labels_B = torch.randn(50, 6), torch.arange(50) % 3

    def measured(size: int) -> dict[str, float]:
        plain, shifted = Samples(torch.arange(50), lambda some_B: inputs[some_B], size), inputs + 1
        other = Samples(torch.arange(50), lambda some_B: shifted[some_B], size)
        return measure(model, Probe(plain, other, labels_B), CPU)

    whole = measured(50)
    assert measured(16) == pytest.approx(whole)
    assert whole["val_pipeline_loss"] != whole["clean_loss"]
