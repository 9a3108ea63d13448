"""Reading weights from disk or from torchvision's store, without ever unpickling objects.

A file is safetensors, or a state dict that `torch.load(weights_only=True)` accepts (nested under a usual key or not).
"""

import json
import pickle
import struct
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from service.catalog.fingerprints import modern
from service.errors import WeightsError
from worker.engine.runtime.torchvision_shim import download_timeout, torchvision

NESTED: tuple[str, ...] = ("state_dict", "model", "model_state_dict", "weights", "net")
"""Where training scripts put the state dict inside what they save."""
# What damaged and hostile files make torch.load raise.
UNREADABLE = (
    pickle.UnpicklingError,
    struct.error,
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    SafetensorError,  # torch.load goes by the suffix too
    TypeError,
    ValueError,
)


@dataclass(frozen=True)
class StartWeights:
    """Tensors by their torchvision names; `arch` when the file itself says of which architecture they are."""

    source: str
    tensors: Mapping[str, Tensor]
    arch: str | None = None


def read_file(path: Path) -> StartWeights:
    """Reads a weights file; raises WeightsError when it is no such file or holds anything but tensors and numbers."""
    try:
        with open(path, "rb") as file:
            is_safetensors = file.read(9)[8:9] == b"{"
        return _safetensors(path) if is_safetensors else _state_dict(path)
    except OSError as error:
        raise WeightsError(f"the weights file {path.name} cannot be read: {error}") from error


def read_official(arch: str, name: str) -> StartWeights:
    """torchvision's weights of that name, from its cache folder or its server; raises WeightsError without both."""
    try:
        member = torchvision.models.get_model_weights(arch)[name]
    except KeyError as error:
        raise WeightsError(f"torchvision has no weights `{name}` for {arch}") from error
    cached = Path(torch.hub.get_dir()) / "checkpoints" / Path(member.url).name
    try:
        with download_timeout():
            tensors = member.get_state_dict(progress=False, check_hash=True, weights_only=True)
    except UNREADABLE as error:
        what = f"the cached file {cached} is damaged; delete it" if cached.exists() else "there is no cached file"
        raise WeightsError(
            f"the official weights {arch} {member.name} could not be loaded from {member.url} ({_brief(error)}), and "
            f"{what}. Put the file at {cached} on the worker, or give its path as `weights: {{path: ...}}`"
        ) from error
    return StartWeights(f"{arch} {member.name}", modern(tensors))


def _safetensors(path: Path) -> StartWeights:
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (it is no mapping)
    except SafetensorError as error:
        raise WeightsError(f"{path.name} is not a safetensors file that can be read: {_brief(error)}") from error
    return StartWeights(path.name, modern(tensors), _architecture(header))


def _architecture(header: Mapping[str, str]) -> str | None:
    """What one of our own model files says about itself."""
    try:
        model = json.loads(header.get("model", "null"))
    except ValueError:
        return None
    if not isinstance(model, dict):
        return None
    name = model.get("arch") or model.get("family")
    return name if isinstance(name, str) else None


def _state_dict(path: Path) -> StartWeights:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the pickle protocol of a damaged file
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except UNREADABLE as error:
        if isinstance(error, pickle.UnpicklingError):
            why = "it holds Python objects, which may run code when they are read, or it is no weights file"
        else:
            why = f"it is damaged or no weights file ({_brief(error)})"
        raise WeightsError(f"{path.name} was refused: {why}. Save the state dict alone, best as safetensors") from error
    for key in NESTED:
        if isinstance(loaded, dict) and isinstance(loaded.get(key), dict):
            loaded = loaded[key]
    tensors = {str(k): v for k, v in loaded.items() if isinstance(v, Tensor)} if isinstance(loaded, dict) else {}
    if not tensors:
        raise WeightsError(f"{path.name} holds no state dict: names with a tensor each")
    return StartWeights(path.name, modern(tensors))


def _brief(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
