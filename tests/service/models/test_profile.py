"""What a weights file says of itself without torch."""

from pathlib import Path

import pytest

from service.errors import InvalidRequestError
from service.models.profile import profile
from tests.service.models.weight_files import safetensors, squeezenet

WHOLE = safetensors(squeezenet())


def write(folder: Path, data: bytes) -> Path:
    path = folder / "file"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("wrapper", ["", "module.", "model.backbone."])
def test_safetensors_tell_what_they_fit(tmp_path: Path, wrapper: str) -> None:
    seen = profile(write(tmp_path, safetensors(squeezenet(wrapper))))
    assert (seen.format, seen.fits, seen.arch, seen.tensors) == ("safetensors", ["squeezenet1_1"], None, 52)
    assert seen.parameters == 722_496 + 10 * 513


def test_weights_of_an_unknown_network_fit_nothing(tmp_path: Path) -> None:
    assert profile(write(tmp_path, safetensors({"a": [3, 4]}))).fits == []


@pytest.mark.parametrize(
    ("model", "arch"), [('{"arch": "resnet18"}', "resnet18"), ('{"arch": "x"}', None), ("[", None)]
)
def test_own_model_files_name_their_network(tmp_path: Path, model: str, arch: str | None) -> None:
    assert profile(write(tmp_path, safetensors({"a": [1]}, {"model": model}))).arch == arch


@pytest.mark.parametrize("data", [b"PK\x03\x04...", b"\x80\x02..."])
def test_a_state_dict_is_not_opened(tmp_path: Path, data: bytes) -> None:
    seen = profile(write(tmp_path, data))
    assert (seen.format, seen.fits) == ("state-dict", None)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"a picture",
        WHOLE[:-1],
        WHOLE + b"x",
        WHOLE[:100],
        b"\xff" * 8 + b"{",
        safetensors({}),
        (10**4).to_bytes(8, "little") + b'{"a":' * 2000,
        (9).to_bytes(8, "little") + b'{"a": 12}',
        (2).to_bytes(8, "little") + b"{}",
    ],
)
def test_what_is_no_whole_weights_file_is_refused(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        profile(write(tmp_path, data))
    assert refused.value.errors is not None
    assert refused.value.errors[0].pointer == "/file"
