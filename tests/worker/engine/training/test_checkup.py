"""The check-up finds what is wrong before the first step, and changes nothing."""

import pytest
import torch
from torch import Tensor, nn

from service.reports.result import CheckupReport
from service.specs.model import CnnSpec
from worker.engine import models
from worker.engine.data.batches import Batch
from worker.engine.runtime.precision import Precision
from worker.engine.training.checkup import check_up

CPU = Precision(torch.device("cpu"))


@pytest.fixture
def batch() -> Batch:
    torch.manual_seed(0)
    return Batch(torch.randn(64, 1, 8, 8), torch.arange(64) % 10, torch.arange(64))


def network(*more: nn.Module) -> nn.Sequential:
    torch.manual_seed(0)
    model = models.build(CnnSpec(family="cnn", channels=[4], hidden=[16]), [8, 8, 1], 10)
    return nn.Sequential(model, *more).train()


def failed(report: CheckupReport) -> list[str]:
    return [check.name for check in report.checks if not check.passed]


def test_healthy_model_passes(batch: Batch) -> None:
    report = check_up(network(), batch, 10, CPU)
    assert failed(report) == []
    assert report.statistics["output_shape"] == [64, 10]
    assert report.statistics["guessing_loss"] == pytest.approx(2.302585)


def test_nothing_is_changed(batch: Batch) -> None:
    model = network()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    random = torch.get_rng_state()
    check_up(model, batch, 10, CPU)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert torch.equal(random, torch.get_rng_state())
    assert model.training
    assert all(parameter.grad is None for parameter in model.parameters())


def test_softmax_before_the_loss_is_seen(batch: Batch) -> None:
    assert failed(check_up(network(nn.Softmax(1)), batch, 10, CPU)) == ["logits"]


def test_wrong_number_of_outputs_is_seen(batch: Batch) -> None:
    labels_B = torch.arange(64) % 7
    report = check_up(network(nn.Linear(10, 7)), Batch(batch.inputs, labels_B, batch.indices_B), 7, CPU)
    assert "output-shape" not in failed(report)
    assert "output-shape" in failed(check_up(network(nn.Linear(10, 12)), batch, 10, CPU))


def test_loss_far_from_guessing_is_seen(batch: Batch) -> None:
    model = network(nn.Linear(10, 10))
    with torch.no_grad():
        model[1].get_parameter("weight").mul_(60)
    assert failed(check_up(model, batch, 10, CPU)) == ["initial-loss"]


def test_weights_near_zero_are_seen(batch: Batch) -> None:
    model = network()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1e-4)
    report = check_up(model, batch, 10, CPU)
    assert "weights-scale" in failed(report)
    assert "near zero" in next(check.detail for check in report.checks if check.name == "weights-scale")


class Mixing(nn.Module):
    """Lets every sample see the whole batch."""

    def forward(self, x: Tensor) -> Tensor:
        return x + x.mean(0, keepdim=True)


def test_layer_that_mixes_samples_is_seen(batch: Batch) -> None:
    assert failed(check_up(network(Mixing()), batch, 10, CPU)) == ["no-cross-sample-leak"]


class Idle(nn.Module):
    """Has a parameter that nothing uses."""

    def __init__(self) -> None:
        super().__init__()
        self.idle = nn.Parameter(torch.ones(2))

    def forward(self, x: Tensor) -> Tensor:
        return x


def test_parameter_that_no_gradient_reaches_is_named(batch: Batch) -> None:
    report = check_up(network(Idle()), batch, 10, CPU)
    assert failed(report) == ["gradients"]
    assert "1.idle" in next(check.detail for check in report.checks if check.name == "gradients")


def test_weights_that_are_not_finite_are_named(batch: Batch) -> None:
    model = network()
    with torch.no_grad():
        next(model.parameters())[0] = torch.nan
    assert "finite-weights" in failed(check_up(model, batch, 10, CPU))


def test_labels_out_of_range_and_inputs_that_are_not_finite_are_seen(batch: Batch) -> None:
    inputs = batch.inputs.clone()
    inputs[3] = torch.inf
    report = check_up(network(), Batch(inputs, batch.labels_B, batch.indices_B), 10, CPU)
    assert "inputs" in failed(report)
    dead = network()
    with torch.no_grad():
        for module in dead.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.bias.fill_(-100)
    assert "dead-units" in failed(check_up(dead, batch, 10, CPU))
