"""Start weights: files of every shape, refusals that name both sides, official names, what real weights are worth."""

import gzip
import os
import pickle
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from service.errors import WeightsError
from service.events import Log
from service.specs.model import TorchvisionSpec
from tests.worker.engine.conftest import pack
from tests.worker.engine.pretrained import squeezenet_weights
from tests.worker.engine.runs import only, reports_of, spec_of, train
from worker.engine.models import torchvision_models
from worker.engine.models.transfer import TransferNetwork, build_transfer

SMALL = "shufflenet_v2_x0_5"
FASHION = Path("/usr/share/datasets/fashion-mnist")


@pytest.fixture(scope="module")
def full() -> dict[str, Tensor]:
    """The state dict of the smallest architecture with its 1,000-class head."""
    torch.manual_seed(3)
    return dict(torchvision_models.build(SMALL).state_dict())


def build(file: Path | None, classes: int = 10, channels: int = 1, **fields: object) -> TransferNetwork:
    spec = {"family": "torchvision", "arch": SMALL, "weights": {"path": "file"}} | fields
    return build_transfer(TorchvisionSpec.model_validate(spec), [16, 16, channels], classes, file)


def backbone_is(model: TransferNetwork, given: dict[str, Tensor]) -> bool:
    own = model.state_dict()
    return all(torch.equal(own[name], given[name]) for name in own if not name.startswith("fc."))


def test_full_file_gives_the_backbone_and_a_new_head(full: dict[str, Tensor], tmp_path: Path) -> None:
    save_file(full, tmp_path / "full.safetensors")
    model = build(tmp_path / "full.safetensors")
    assert backbone_is(model, full)
    assert "336 of 336 tensors" in model.notes[0]
    assert "head for 10 classes is new (the file's is for 1000)" in model.notes[0]


def test_head_for_as_many_classes_is_taken(full: dict[str, Tensor], tmp_path: Path) -> None:
    save_file(full, tmp_path / "full.safetensors")
    model = build(tmp_path / "full.safetensors", classes=1000)
    assert torch.equal(model.get_parameter("fc.1.weight"), full["fc.weight"])
    assert torch.equal(model.get_parameter("fc.1.bias"), full["fc.bias"])


def test_headless_file_is_enough(full: dict[str, Tensor], tmp_path: Path) -> None:
    headless = {name: tensor for name, tensor in full.items() if not name.startswith("fc.")}
    save_file(headless, tmp_path / "headless.safetensors")
    model = build(tmp_path / "headless.safetensors")
    assert backbone_is(model, full)
    assert "is new (the file has none)" in model.notes[0]


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("wrap", ["", "module.", "_orig_mod.module."])
@pytest.mark.parametrize("key", ["", "state_dict", "model"])
def test_state_dicts_as_scripts_save_them(
    full: dict[str, Tensor], tmp_path: Path, key: str, wrap: str, legacy: bool
) -> None:
    state: object = {wrap + name: tensor for name, tensor in full.items()}
    state = {key: state, "epoch": 3} if key else state
    torch.save(state, tmp_path / "w.pth", _use_new_zipfile_serialization=not legacy)
    assert backbone_is(build(tmp_path / "w.pth"), full)


def test_file_of_another_architecture_names_both(tmp_path: Path) -> None:
    save_file(torchvision_models.build("shufflenet_v2_x1_0").state_dict(), tmp_path / "other.safetensors")
    with pytest.raises(
        WeightsError, match="holds weights of `shufflenet_v2_x1_0`, and the spec asks for `shufflenet_v2_x0_5`"
    ):
        build(tmp_path / "other.safetensors")


def test_deeper_network_of_the_same_family_is_not_taken_in_part(tmp_path: Path) -> None:
    save_file(torchvision_models.build("resnet34").state_dict(), tmp_path / "deep.safetensors")
    with pytest.raises(WeightsError, match=r"`resnet34`, and the spec asks for `resnet18`: 120 of its 120 .*layer1\.2"):
        build(tmp_path / "deep.safetensors", arch="resnet18")


def test_file_of_no_known_network_lists_what_it_holds(tmp_path: Path) -> None:
    save_file({"net.0.weight": torch.zeros(3, 3)}, tmp_path / "odd.safetensors")
    with pytest.raises(WeightsError, match=r"does not fit, .*0 of its 336.*net\.0\.weight|missing"):
        build(tmp_path / "odd.safetensors")


def test_incomplete_backbone_is_refused(full: dict[str, Tensor], tmp_path: Path) -> None:
    partial = {name: tensor for name, tensor in full.items() if not name.startswith("conv5.")}
    save_file(partial, tmp_path / "partial.safetensors")
    with pytest.raises(WeightsError, match=r"conv5\.0\.weight"):
        build(tmp_path / "partial.safetensors")


def test_hidden_layers_beside_the_head_may_be_missing_when_they_train(tmp_path: Path) -> None:
    state = {
        n: t
        for n, t in torchvision_models.build("mobilenet_v3_small").state_dict().items()
        if n.startswith("features.")
    }
    save_file(state, tmp_path / "features.safetensors")
    model = build(tmp_path / "features.safetensors", arch="mobilenet_v3_small", mode="partial")
    assert "not in the file, so random: classifier.0.bias, classifier.0.weight" in model.notes[0]
    with pytest.raises(WeightsError, match=r"classifier\.0"):
        build(tmp_path / "features.safetensors", arch="mobilenet_v3_small", mode="feature_extraction")


def test_model_file_of_a_job_starts_another(few_digits: Path, tmp_path: Path) -> None:
    model = {"family": "torchvision", "arch": SMALL}
    train(few_digits, tmp_path, spec_of(epochs=1, model=model))
    again = build(tmp_path / "model.safetensors", mode="feature_extraction")
    assert backbone_is(again, load_file(tmp_path / "model.safetensors"))
    assert "the head for 10 classes was taken too" in again.notes[0]
    with pytest.raises(WeightsError, match="holds weights of `shufflenet_v2_x0_5`, and the spec asks for `resnet18`"):
        build(tmp_path / "model.safetensors", arch="resnet18")


def test_model_file_of_an_mlp_is_named_as_such(few_digits: Path, tmp_path: Path) -> None:
    train(few_digits, tmp_path, spec_of(epochs=1))
    with pytest.raises(WeightsError, match="holds weights of `mlp`, and the spec asks for `shufflenet_v2_x0_5`"):
        build(tmp_path / "model.safetensors")


class Bomb:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("how", ["torch", "legacy", "pickle"])
def test_pickle_bomb_is_refused_and_does_not_go_off(tmp_path: Path, how: str) -> None:
    state = {"fc.weight": Bomb(tmp_path / "boom")}
    if how == "pickle":
        (tmp_path / "bomb.pth").write_bytes(pickle.dumps(state))
    else:
        torch.save(state, tmp_path / "bomb.pth", _use_new_zipfile_serialization=how == "torch")
    with pytest.raises(WeightsError, match="refused"):
        build(tmp_path / "bomb.pth")
    assert not (tmp_path / "boom").exists()


def damaged(good: bytes) -> Iterator[bytes]:
    random = np.random.default_rng(0)
    yield b""
    yield b"not weights at all"
    yield good[: len(good) // 2]
    for _ in range(40):
        broken = bytearray(good)
        for place in random.integers(0, min(len(good), 4000), 20):
            broken[place] = random.integers(0, 256)
        yield bytes(broken)


@pytest.mark.parametrize("content", [b"", b"\xff" * 100, b"hello"], ids=["empty", "noise", "text"])
def test_a_suffix_makes_no_weights_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.safetensors").write_bytes(content)
    with pytest.raises(WeightsError, match=r"bad\.safetensors was refused"):
        build(tmp_path / "bad.safetensors")


def test_weights_that_are_not_finite_are_refused_by_name(tmp_path: Path) -> None:
    broken = torchvision_models.build(SMALL).state_dict()
    broken["conv5.0.weight"][0, 0, 0, 0] = torch.nan
    save_file(broken, tmp_path / "nan.safetensors")
    with pytest.raises(WeightsError, match=r"NaN or infinite in conv5\.0\.weight"):
        build(tmp_path / "nan.safetensors")


@pytest.mark.parametrize("kind", ["safetensors", "zip", "legacy"])
def test_damaged_files_are_refused_in_words(tmp_path: Path, kind: str) -> None:
    path, state = tmp_path / "file", {"a": torch.arange(20.0), "b": torch.zeros(3, 3)}
    if kind == "safetensors":
        save_file(state, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=kind == "zip")
    for content in damaged(path.read_bytes()):
        path.write_bytes(content)
        with pytest.raises(WeightsError):
            build(path)


def test_positions_of_a_vit_are_resized_for_other_images(tmp_path: Path) -> None:
    torch.manual_seed(0)
    save_file(torchvision_models.build("vit_b_32").state_dict(), tmp_path / "vit.safetensors")
    model = build(tmp_path / "vit.safetensors", arch="vit_b_32", image_size=288)
    assert model.get_parameter("encoder.pos_embedding").shape == (1, 82, 768)
    assert "tensors of vit_b_32 matched" in model.notes[0]


def test_weights_of_three_channels_fit_four(full: dict[str, Tensor], tmp_path: Path) -> None:
    save_file(full, tmp_path / "full.safetensors")
    first = build(tmp_path / "full.safetensors", channels=4).get_parameter("conv1.0.weight")
    torch.testing.assert_close(first[:, 0], full["conv1.0.weight"].mean(1) * 3 / 4)


def test_old_names_of_densenet_are_understood(tmp_path: Path) -> None:
    state = torchvision_models.build("densenet121").state_dict()
    old = {n.replace("norm1.", "norm.1.").replace("conv2.", "conv.2."): t for n, t in state.items()}
    assert set(old) != set(state)
    torch.save(old, tmp_path / "old.pth")
    assert "725 of 725 tensors" in build(tmp_path / "old.pth", arch="densenet121").notes[0]


def test_official_weights_come_from_torchvisions_cache(
    full: dict[str, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    cache = tmp_path / "hub" / "checkpoints"
    cache.mkdir(parents=True)
    torch.save(full, cache / "shufflenetv2_x0.5-f707e7126e.pth")
    model = build(None, weights="IMAGENET1K_V1")
    assert backbone_is(model, full)
    assert "start weights shufflenet_v2_x0_5 IMAGENET1K_V1" in model.notes[0]
    (cache / "shufflenetv2_x0.5-f707e7126e.pth").write_bytes(b"half a download")
    with pytest.raises(WeightsError, match="damaged; delete it"):
        build(None, weights="IMAGENET1K_V1")


def test_official_weights_without_network_say_where_the_file_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # nobody listens there
    with pytest.raises(WeightsError, match=r"shufflenetv2_x0\.5-f707e7126e\.pth on the worker") as raised:
        build(None, weights="DEFAULT")
    assert str(tmp_path) in raised.value.detail
    with pytest.raises(WeightsError, match="no weights `IMAGENET1K_V9`"):
        build(None, weights="IMAGENET1K_V9")


def test_what_matched_is_logged_and_noted(full: dict[str, Tensor], few_digits: Path, tmp_path: Path) -> None:
    save_file(full, tmp_path / "full.safetensors")
    spec = spec_of(epochs=1, model={"family": "torchvision", "arch": SMALL, "weights": {"path": "full"}})
    events = train(few_digits, tmp_path, spec, weights=tmp_path / "full.safetensors")
    noted = reports_of(events)["result"].notes
    assert any("336 of 336 tensors" in note for note in noted)
    assert set(noted) <= {event.message for event in only(events, Log)}


@pytest.fixture(scope="session")
def fashion(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first 1,000 images of FashionMNIST: 700 train, 100 val, 200 test."""
    images, labels = (
        gzip.decompress((FASHION / name).read_bytes())
        for name in ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz")
    )
    x = np.frombuffer(images, np.uint8, offset=16)[: 1000 * 784].reshape(-1, 28, 28, 1)
    y = np.frombuffer(labels, np.uint8, offset=8)[:1000].astype(np.int64)
    return pack(tmp_path_factory.mktemp("fashion"), x, y, np.repeat(np.array([0, 1, 2], np.uint8), [700, 100, 200]))


def test_real_pretrained_features_beat_random_ones_by_15_points(
    fashion: Path, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    assert pytestconfig.cache is not None
    torch.manual_seed(0)
    files = {
        "real": squeezenet_weights(pytestconfig.cache.mkdir("pretrained")),
        "random": torchvision_models.build("squeezenet1_1").state_dict(),
    }
    accuracy: dict[str, float] = {}
    for name, state in files.items():
        (tmp_path / name).mkdir()
        save_file(dict(state), tmp_path / f"{name}.safetensors")
        model = {"family": "torchvision", "arch": "squeezenet1_1", "mode": "feature_extraction", "image_size": 64}
        spec = spec_of(
            epochs=15,
            diagnose=False,
            batch_size=32,
            early_stopping=None,
            model=model | {"weights": {"path": name}},
            preprocess={"normalize": "imagenet"},
        )
        events = train(fashion, tmp_path / name, spec, weights=tmp_path / f"{name}.safetensors")
        accuracy[name] = reports_of(events)["result"].test["accuracy"]
    assert accuracy["real"] > 0.7
    assert accuracy["real"] - accuracy["random"] > 0.15
