"""Every architecture of torchvision: known to the catalog, composed of stages, with a head of its own."""

import math

import pytest
import torch
from torch import nn

from service.catalog import architectures
from worker.engine.models import torchvision_models, torchvision_stages
from worker.engine.models.stages import StagedNetwork

LAST_STAGES = {
    "alexnet": ["features.6"],
    "convnext_tiny": ["features.6"],
    "densenet121": ["features.denseblock4"],
    "efficientnet_b0": ["features.6", "features.7"],
    "efficientnet_v2_s": ["features.6"],
    "googlenet": ["inception5a"],
    "inception_v3": ["Mixed_7a"],
    "maxvit_t": ["blocks.3"],
    "mnasnet0_5": ["layers.12"],
    "mobilenet_v2": ["features.14"],
    "mobilenet_v3_large": ["features.13"],
    "mobilenet_v3_small": ["features.9"],
    "regnet_y_400mf": ["trunk_output.block4"],
    "resnet18": ["layer4"],
    "resnext50_32x4d": ["layer4"],
    "shufflenet_v2_x0_5": ["stage4"],
    "squeezenet1_0": ["features.12"],
    "squeezenet1_1": ["features.9"],
    "swin_t": ["features.6"],
    "swin_v2_t": ["features.6"],
    "vgg11": ["features.16"],
    "vit_b_32": [f"encoder.layers.encoder_layer_{n}" for n in (9, 10, 11)],
    "wide_resnet50_2": ["layer4"],
}
SIZES = {"inception_v3": 96, "maxvit_t": 224, "vit_b_32": 224}
"""Pixels of the images in these tests, where 64 will not do."""
# Built and run for real: one of each way to compose, the light ones.
COMPOSED = [
    "alexnet",
    "convnext_tiny",
    "densenet121",
    "efficientnet_b0",
    "googlenet",
    "inception_v3",
    "maxvit_t",
    "mnasnet0_5",
    "mobilenet_v2",
    "mobilenet_v3_large",
    "mobilenet_v3_small",
    "regnet_y_400mf",
    "resnet18",
    "shufflenet_v2_x0_5",
    "swin_t",
    "vit_b_32",
]


def test_catalog_names_every_architecture_of_torchvision() -> None:
    assert sorted(each.name for each in architectures.ARCHITECTURES) == torchvision_models.names()


@pytest.mark.parametrize("arch", LAST_STAGES)
def test_skeleton_agrees_with_the_catalog_and_has_its_last_stage(arch: str) -> None:
    known, network = architectures.architecture(arch), torchvision_models.skeleton(arch)
    assert known is not None
    stages = torchvision_stages.stages(network, arch)
    head = network.get_submodule(torchvision_stages.family(arch).head)
    total = sum(parameter.numel() for parameter in network.parameters())
    assert total - sum(parameter.numel() for parameter in head.parameters()) == known.backbone_parameters
    assert [stage.name for stage in stages if stage.is_last] == LAST_STAGES[arch]
    staged = {id(parameter) for stage in stages for parameter in StagedNetwork(network, stages).parameters_of(stage)}
    assert staged == {id(parameter) for parameter in network.parameters()}


@pytest.mark.parametrize("arch", torchvision_models.names())
def test_every_architecture_has_a_family(arch: str) -> None:
    assert arch.startswith(torchvision_stages.family(arch).prefixes)


@pytest.mark.parametrize("arch", COMPOSED)
def test_stages_compute_what_torchvision_computes(arch: str) -> None:
    torch.manual_seed(0)
    network = torchvision_models.build(arch).eval()
    if arch in ("googlenet", "inception_v3"):
        network.transform_input = True  # type: ignore[assignment]  # what torchvision does with official weights
    images_BCHW = torch.rand(2, 3, SIZES.get(arch, 64), SIZES.get(arch, 64))
    staged = StagedNetwork(network, torchvision_stages.stages(network, arch)).eval()
    with torch.no_grad():
        expected, logits = network(images_BCHW), staged(images_BCHW)
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-5 * max(1.0, float(expected.abs().max())))
    assert set(staged.state_dict()) == set(network.state_dict())


def test_squeezenet_features_are_pooled_before_the_new_head() -> None:
    torch.manual_seed(0)
    network = torchvision_models.build("squeezenet1_1")
    torchvision_models.replace_head(network, "squeezenet1_1", 7, 0.3)
    staged = StagedNetwork(network, torchvision_stages.stages(network, "squeezenet1_1")).eval()
    images_BCHW = torch.rand(2, 3, 64, 64)
    features = network.get_submodule("features")(images_BCHW).mean((2, 3))
    torch.testing.assert_close(staged(images_BCHW), network.get_submodule("classifier.1")(features))


@pytest.mark.parametrize(
    "arch", ["resnet18", "vgg11", "mobilenet_v3_small", "vit_b_32", "convnext_tiny", "densenet121"]
)
def test_new_head_is_one_dropout_and_one_linear(arch: str) -> None:
    network, known = torchvision_models.skeleton(arch), architectures.architecture(arch)
    torchvision_models.replace_head(network, arch, 7, 0.3)
    head = network.get_submodule(torchvision_stages.family(arch).head)
    assert isinstance(head, nn.Sequential)
    dropout, linear = head
    assert isinstance(dropout, nn.Dropout)
    assert isinstance(linear, nn.Linear)
    assert known is not None
    assert (dropout.p, linear.in_features, linear.out_features) == (0.3, known.features, 7)
    beside = (
        list(network.get_submodule(torchvision_stages.family(arch).head.rpartition(".")[0]).children())
        if "." in arch
        else []
    )
    assert not any(isinstance(module, nn.Dropout) for module in beside[-2:-1])


def test_first_loss_is_that_of_guessing() -> None:
    torch.manual_seed(0)
    network = torchvision_models.build("mobilenet_v3_small").eval()
    torchvision_models.replace_head(network, "mobilenet_v3_small", 10, 0.3)
    loss = nn.functional.cross_entropy(network(torch.randn(16, 3, 32, 32)), torch.arange(16) % 10)
    assert float(loss.detach()) == pytest.approx(math.log(10), abs=0.3)


@pytest.mark.parametrize("arch", ["resnet18", "vit_b_32", "squeezenet1_1"])
def test_first_convolution_is_widened_by_the_mean_of_its_filters(arch: str) -> None:
    torch.manual_seed(0)
    network = torchvision_models.build(arch)
    before = next(module for module in network.modules() if isinstance(module, nn.Conv2d))
    torchvision_models.widen_input(network, 5)
    after = next(module for module in network.modules() if isinstance(module, nn.Conv2d))
    grey_B1HW = torch.rand(2, 1, 64, 64)
    torch.testing.assert_close(
        after(grey_B1HW.expand(-1, 5, -1, -1)), before(grey_B1HW.expand(-1, 3, -1, -1)), rtol=1e-4, atol=1e-5
    )
