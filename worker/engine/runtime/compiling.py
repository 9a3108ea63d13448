"""`torch.compile` where the machine can: on a CPU that takes a C++ compiler, on a GPU Triton and a C compiler."""

import os
import shutil
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.utils._triton import has_triton

from service.specs.train import TrainSpec


def compiled(model: nn.Module, spec: TrainSpec, device: torch.device) -> Callable[..., Tensor]:
    """The model's compiled form if the spec wants it and the machine can make it, else the model."""
    if not spec.compile or obstacle(device):
        return model
    return torch.compile(model)


def obstacle(device: torch.device) -> str | None:
    """What the machine lacks for compiling, if anything."""
    if device.type == "cuda":
        has_compiler = any(shutil.which(name) for name in (os.environ.get("CC", ""), "gcc", "clang", "cc"))
        return None if has_triton() and has_compiler else "Triton and a C compiler"
    compiler = os.environ.get("CXX", "g++")
    return None if shutil.which(compiler) else f"the C++ compiler {compiler}"


def notes(spec: TrainSpec, device: torch.device) -> list[str]:
    """Says so when the wish to compile could not be followed: the numbers are the same, it only takes longer."""
    if not spec.compile or (missing := obstacle(device)) is None:
        return []
    return [f"`compile` needs {missing}, which this worker does not have: the network ran as it is"]
