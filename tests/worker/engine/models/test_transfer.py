"""Transfer learning: what is frozen, what trains at which rate, and what images become."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from service.errors import DataError
from service.events import EpochRecord, FileSaved, StepRecord
from service.reports.result import TrainResult
from service.resolution.defaults import filled_optimizer
from service.specs.model import TorchvisionSpec
from service.specs.optimizer import OptimizerSpec
from tests.worker.engine.runs import events_of, only, reports_of, spec_of, train
from worker.engine.models import torchvision_models, torchvision_stages
from worker.engine.models.stages import StagedNetwork
from worker.engine.models.transfer import TransferNetwork, build_transfer
from worker.engine.training.optimizers import parameter_groups

SMALL = "shufflenet_v2_x0_5"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A full weights file of the smallest architecture."""
    torch.manual_seed(7)
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    save_file(torchvision_models.build(SMALL).state_dict(), path)
    return path


def model_spec(**fields: object) -> TorchvisionSpec:
    return TorchvisionSpec.model_validate(
        {"family": "torchvision", "arch": SMALL, "weights": {"path": "small.safetensors"}} | fields
    )


def trainable(model: nn.Module) -> set[str]:
    return {name.split(".")[0] for name, parameter in model.named_parameters() if parameter.requires_grad}


def frozen_state(model: StagedNetwork) -> dict[str, torch.Tensor]:
    """Weights and BatchNorm statistics that must not move."""
    own = {name for name in model.state_dict() if name.split(".")[0] not in trainable(model)}
    return {name: tensor.clone() for name, tensor in model.state_dict().items() if name in own}


@pytest.mark.parametrize(
    ("mode", "trains"),
    [
        ("feature_extraction", {"fc"}),
        ("partial", {"stage4", "conv5", "fc"}),
        ("full", {"conv1", "stage2", "stage3", "stage4", "conv5", "fc"}),
    ],
)
def test_mode_decides_what_trains(weights: Path, mode: str, trains: set[str]) -> None:
    model = build_transfer(model_spec(mode=mode), [8, 8, 1], 10, weights)
    assert trainable(model) == trains
    model.train()
    modes = {name.split(".")[0] for name, module in model.named_modules() if name and module.training}
    assert modes & {"conv1", "stage2", "stage3", "stage4", "conv5", "fc"} == trains


@pytest.mark.parametrize("cached", [True, False])
@pytest.mark.parametrize("mode", ["feature_extraction", "partial"])
def test_frozen_layers_and_their_statistics_never_move(
    few_digits: Path, weights: Path, tmp_path: Path, mode: str, cached: bool
) -> None:
    spec = spec_of(
        epochs=1,
        model=model_spec(mode=mode, cache_frozen=cached).model_dump(),
        optimizer={"lr": 0.01, "weight_decay": 0.1},
    )
    events = train(few_digits, tmp_path, spec, weights=weights)
    before = build_transfer(model_spec(mode=mode), [8, 8, 1], 10, weights)
    after = build_transfer(model_spec(mode=mode), [8, 8, 1], 10, tmp_path / "model.safetensors")
    fixed = frozen_state(before)
    assert len(fixed) > 20
    for name, tensor in fixed.items():
        torch.testing.assert_close(after.state_dict()[name], tensor, rtol=0, atol=0)
    assert not torch.equal(after.state_dict()["fc.1.weight"], before.state_dict()["fc.1.weight"])
    result = reports_of(events)["result"]
    assert isinstance(result, TrainResult)
    sizes = [(p.numel(), p.requires_grad) for p in before.parameters()]
    assert result.parameters.total == sum(n for n, _ in sizes)
    assert result.parameters.trainable == sum(n for n, trains in sizes if trains)


def test_backbone_and_head_have_their_own_rates(weights: Path) -> None:
    model = build_transfer(model_spec(), [8, 8, 1], 10, weights)
    groups = parameter_groups(model, OptimizerSpec(lr=1e-3, backbone_lr=2e-5))
    assert [group["lr"] for group in groups] == [1e-3, 1e-3, 2e-5, 2e-5]
    head = {id(parameter) for group in groups[:2] for parameter in group["params"]}
    assert head == {id(parameter) for parameter in model.get_submodule("fc").parameters()}
    assert groups[1]["weight_decay"] == groups[3]["weight_decay"] == 0.0


def rated(model: TransferNetwork, **fields: float) -> OptimizerSpec:
    """The optimizer as a run has it, with what is usual for the network."""
    return filled_optimizer(OptimizerSpec.model_validate(fields), model.spec)


def test_backbone_gets_a_tenth_unless_it_is_random(weights: Path) -> None:
    pretrained = build_transfer(model_spec(), [8, 8, 1], 10, weights)
    anew = build_transfer(model_spec(weights=None), [8, 8, 1], 10)
    assert [rate for rate, _ in pretrained.lr_groups(1e-3, rated(pretrained))] == pytest.approx([1e-3, 1e-4])
    assert [rate for rate, _ in anew.lr_groups(1e-3, rated(anew))] == [1e-3, 1e-3]


def test_layer_decay_falls_stage_by_stage_toward_the_image() -> None:
    spec = model_spec(arch="vit_b_32", weights="IMAGENET1K_V1")
    network = torchvision_models.skeleton("vit_b_32")
    torchvision_models.replace_head(network, "vit_b_32", 10, 0.3)
    model = TransferNetwork(network, torchvision_stages.stages(network, "vit_b_32"), spec)
    rates = [rate for rate, _ in model.lr_groups(1e-4, rated(model, backbone_lr=1e-5))]
    assert rates == pytest.approx([1e-4, *(1e-5 * 0.75**depth for depth in range(13))])
    even = [rate for rate, _ in model.lr_groups(1e-4, rated(model, backbone_lr=1e-5, layer_decay=1.0))]
    assert even == [1e-4, 1e-5]
    owned = [id(p) for _, parameters in model.lr_groups(1e-4, rated(model)) for p in parameters]
    assert sorted(owned) == sorted(id(p) for p in model.parameters())


def test_head_epochs_train_the_head_alone_first(few_digits: Path, weights: Path, tmp_path: Path) -> None:
    chosen = model_spec(mode="full", head_epochs=2)
    spec = spec_of(epochs=3, model=chosen.model_dump(), early_stopping=None, checkpoint={"every_steps": 1})
    start = build_transfer(chosen, [8, 8, 1], 10, weights).state_dict()
    moved: dict[int, set[str]] = {}
    epoch = 1
    for event in events_of(few_digits, tmp_path, spec, weights=weights):
        if isinstance(event, EpochRecord):
            epoch = event.epoch + 1
        if isinstance(event, FileSaved) and event.role == "last":
            now = torch.load(event.path, weights_only=True)["model"]
            moved[epoch] = {name.split(".")[0] for name in now if not torch.equal(now[name], start[name])}
    assert moved[1] == moved[2] == {"fc"}
    assert moved[3] == {"conv1", "stage2", "stage3", "stage4", "conv5", "fc"}


def test_grey_images_are_repeated_to_three_channels(weights: Path) -> None:
    grey = build_transfer(model_spec(), [32, 32, 1], 10, weights).eval()
    colour = build_transfer(model_spec(), [32, 32, 3], 10, weights).eval()
    colour.load_state_dict(grey.state_dict())
    images_B1HW = torch.rand(3, 1, 32, 32)
    torch.testing.assert_close(grey(images_B1HW), colour(images_B1HW.expand(-1, 3, -1, -1)))


def test_four_channels_widen_the_first_convolution(weights: Path) -> None:
    model = build_transfer(model_spec(), [32, 32, 4], 10, weights)
    first = model.get_submodule("conv1.0")
    assert isinstance(first, nn.Conv2d)
    assert first.in_channels == 4
    assert model(torch.rand(2, 4, 32, 32)).shape == (2, 10)
    grey = build_transfer(model_spec(), [32, 32, 1], 10, weights).get_parameter("conv1.0.weight")
    torch.testing.assert_close(first.weight.sum(1), grey.sum(1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("arch", "shape", "image_size", "seen"),
    [
        ("resnet18", [28, 28, 1], None, (28, 28)),
        ("squeezenet1_1", [8, 8, 1], None, (17, 17)),
        ("squeezenet1_1", [8, 16, 1], None, (17, 34)),
        ("resnet18", [28, 28, 3], 64, (64, 64)),
        ("resnet18", [40, 80, 3], 32, (32, 32)),
        ("vit_b_32", [28, 28, 1], None, (224, 224)),
    ],
)
def test_images_reach_the_layers_in_a_size_that_works(
    arch: str, shape: list[int], image_size: int | None, seen: tuple[int, int]
) -> None:
    model = build_transfer(model_spec(arch=arch, weights=None, image_size=image_size), shape, 3).eval()
    (stage, *_), x = model.stages, torch.rand(1, shape[2], *shape[:2])
    for operation in stage.operations:
        x = operation.call(model, x)
    assert x.shape == (1, 3, *seen)
    assert model(torch.rand(2, shape[2], *shape[:2])).shape == (2, 3)


def test_resizing_keeps_the_centre_and_the_proportions() -> None:
    model = build_transfer(model_spec(weights=None, image_size=16), [16, 32, 3], 2)
    images_BCHW = torch.zeros(1, 3, 16, 32)
    images_BCHW[..., 8:24] = 1.0
    x = images_BCHW
    for operation in model.stages[0].operations:
        x = operation.call(model, x)
    assert torch.equal(x, torch.ones(1, 3, 16, 16))


def test_features_and_unknown_names_are_refused() -> None:
    with pytest.raises(DataError, match="needs images"):
        build_transfer(model_spec(weights=None), [64], 3)
    with pytest.raises(DataError, match="did you mean `resnet18`"):
        build_transfer(model_spec(weights=None, arch="resnet81"), [8, 8, 1], 3)
    with pytest.raises(DataError, match="does not take images of 250 pixels"):
        build_transfer(model_spec(weights=None, arch="vit_b_32", image_size=250), [8, 8, 1], 3)


def test_small_images_for_pretrained_weights_are_noted(few_digits: Path, weights: Path, tmp_path: Path) -> None:
    spec = spec_of(epochs=1, model=model_spec().model_dump())
    result = reports_of(train(few_digits, tmp_path, spec, weights=weights))["result"]
    assert any("image_size" in note for note in result.notes)
    assert any("start weights small.safetensors" in note for note in result.notes)


def test_weights_of_a_job_may_come_from_images_as_small(weights: Path) -> None:
    spec = model_spec(weights={"from_job": "x"})
    assert [note for note in build_transfer(spec, [8, 8, 1], 3, weights).notes if "image_size" in note] == []


def test_rates_of_head_and_backbone_are_recorded_by_name(few_digits: Path, weights: Path, tmp_path: Path) -> None:
    spec = spec_of(epochs=1, optimizer={"lr": 1e-3}, schedule={"name": "constant"}, model=model_spec().model_dump())
    record = only(train(few_digits, tmp_path, spec, weights=weights), StepRecord)[-1]
    rates = {name: value for name, value in record.values.items() if name in ("lr/head", "lr/backbone")}
    assert rates == pytest.approx({"lr/head": 1e-3, "lr/backbone": 1e-4})


def test_epochs_are_recorded(few_digits: Path, weights: Path, tmp_path: Path) -> None:
    events = train(few_digits, tmp_path, spec_of(model=model_spec(mode="partial").model_dump()), weights=weights)
    assert [event.epoch for event in only(events, EpochRecord)] == [1, 2, 3]
