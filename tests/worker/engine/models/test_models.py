"""Our own networks: layers, order, initial weights, and the counts that the service promises."""

import math
from typing import Any

import pytest
import torch
from torch import nn

from service.errors import DataError
from service.resolution.estimates import parameters
from service.specs.model import CnnSpec, MlpSpec
from worker.engine import models


def mlp(**fields: Any) -> nn.Sequential:
    model = models.build(MlpSpec.model_validate(fields), [28, 28, 1], 10)
    assert isinstance(model, nn.Sequential)
    return model


def cnn(shape: tuple[int, ...] = (28, 28, 1), **fields: Any) -> nn.Sequential:
    model = models.build(CnnSpec.model_validate({"family": "cnn"} | fields), shape, 10)
    assert isinstance(model, nn.Sequential)
    return model


def kinds(model: nn.Module) -> list[str]:
    return [type(module).__name__ for module in model.children()]


def test_mlp_layers_come_in_the_chapters_order_and_the_output_is_bare() -> None:
    block = ["Linear", "BatchNorm1d", "ReLU", "Dropout"]
    assert kinds(mlp(hidden=[64, 32], dropout=0.3)) == ["Flatten", *block, *block, "Linear"]


def test_dropout_is_given_per_layer_or_once_for_all() -> None:
    rates = [module.p for module in mlp(hidden=[8, 8, 8], dropout=[0.2, 0, 0.5]) if isinstance(module, nn.Dropout)]
    assert rates == [0.2, 0.5]
    rates = [module.p for module in mlp(hidden=[8, 8], dropout=0.4) if isinstance(module, nn.Dropout)]
    assert rates == [0.4, 0.4]


def test_mlp_without_hidden_layers_is_linear() -> None:
    assert kinds(mlp(hidden=[])) == ["Flatten", "Linear"]


def test_bias_is_left_out_only_before_a_batch_norm() -> None:
    assert [m.bias is None for m in mlp(hidden=[8]) if isinstance(m, nn.Linear)] == [True, False]
    assert [m.bias is None for m in mlp(hidden=[8], batch_norm=False) if isinstance(m, nn.Linear)] == [False, False]


@pytest.mark.parametrize(("init", "variance"), [("he", 2 / 784), ("xavier", 2 / (784 + 4096))])
def test_initial_weights_have_the_variance_of_their_scheme(init: str, variance: float) -> None:
    torch.manual_seed(0)
    weight = mlp(hidden=[4096], init=init)[1].get_parameter("weight").detach()
    assert float(weight.var()) == pytest.approx(variance, rel=0.01)
    assert abs(float(weight.mean())) < 1e-3


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "elu", "gelu", "silu", "tanh", "sigmoid"])
def test_loss_before_training_is_near_that_of_guessing(activation: str) -> None:
    torch.manual_seed(0)
    init = "xavier" if activation in ("tanh", "sigmoid") else "he"
    for model in (mlp(activation=activation, init=init), cnn(activation=activation, init=init)):
        loss = nn.functional.cross_entropy(model(torch.randn(256, 1, 28, 28)), torch.arange(256) % 10)
        assert abs(loss.item() - math.log(10)) < 0.5 * math.log(10)


def test_cnn_stages_convolve_normalise_activate_and_pool() -> None:
    stage = ["Conv2d", "BatchNorm2d", "ReLU"]
    head = ["Flatten", "Linear", "BatchNorm1d", "ReLU", "Dropout", "Linear"]
    assert kinds(cnn()) == [*stage, "MaxPool2d", *stage, "MaxPool2d", *head]
    assert kinds(cnn(convs_per_stage=2, channels=[8]))[:7] == [*stage, *stage, "MaxPool2d"]


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 5, 3), (8, 8, 1), (33, 17, 3), (64, 64, 4)])
def test_cnn_takes_images_of_any_size(shape: tuple[int, int, int]) -> None:
    model = cnn(shape, channels=[4, 4, 4, 4]).eval()
    height, width, channels = shape
    assert model(torch.randn(2, channels, height, width)).shape == (2, 10)


def test_cnn_refuses_features() -> None:
    with pytest.raises(DataError, match="use the `mlp` family"):
        cnn((12,))


@pytest.mark.parametrize(
    "spec",
    [
        MlpSpec(),
        MlpSpec(hidden=[], batch_norm=False),
        MlpSpec(hidden=[64, 64, 8], batch_norm=False, dropout=0.5),
        CnnSpec(family="cnn"),
        CnnSpec(family="cnn", channels=[8, 16, 16], convs_per_stage=3, kernel_size=5, hidden=[]),
        CnnSpec(family="cnn", channels=[4], batch_norm=False, hidden=[32, 16]),
    ],
)
def test_parameter_counts_are_those_that_the_service_promises(spec: MlpSpec | CnnSpec) -> None:
    for shape in ([28, 28, 1], [9, 7, 3]):
        assert models.count_parameters(models.build(spec, shape, 10)) == parameters(spec, shape, 10)
