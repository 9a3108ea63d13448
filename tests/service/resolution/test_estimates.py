"""What a job will cost before it runs."""

from service.resolution.estimates import parameters, sample_cost
from service.specs.model import CnnSpec, MlpSpec, ModelSpec, TorchvisionSpec
from tests.service.resolution.digits import meta, resolved
from worker.engine import models


def test_parameters_are_counted_exactly() -> None:
    ours: list[ModelSpec] = [
        MlpSpec(),
        MlpSpec(hidden=[], batch_norm=False),
        MlpSpec(hidden=[32, 16, 8], batch_norm=False),
        CnnSpec(),
        CnnSpec(channels=[8, 16, 24, 32], convs_per_stage=2, kernel_size=5, hidden=[], batch_norm=False),
    ]
    for spec in ours:
        built = models.build(spec, [12, 10, 3], 7)
        assert parameters(spec, [12, 10, 3], 7).total == sum(p.numel() for p in built.parameters())
    resnet = parameters(TorchvisionSpec(family="torchvision", arch="resnet18"), [224, 224, 3], 1000)
    assert resnet.total == 11_689_512


def test_images_are_counted_at_the_size_that_the_layers_see() -> None:
    large = [448, 448, 3]
    vit = TorchvisionSpec(family="torchvision", arch="vit_b_16")
    assert sample_cost(vit, large, 10) == sample_cost(vit, [224, 224, 3], 10)
    resnet = TorchvisionSpec(family="torchvision", arch="resnet18")
    assert sample_cost(resnet, [224, 448, 3], 10).macs == 2 * sample_cost(resnet, [224, 224, 3], 10).macs
    assert sample_cost(resnet.replace(image_size=224), large, 10) == sample_cost(resnet, [224, 224, 3], 10)


def test_estimates_need_the_dataset() -> None:
    assert resolved().estimates is None
    estimates = resolved(meta(), epochs=3).estimates
    assert estimates is not None
    assert estimates.steps == 3 * 23
