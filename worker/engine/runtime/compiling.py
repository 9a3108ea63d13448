"""`torch.compile`, where the machine has the toolchain: on a CPU a C++ compiler, on a GPU Triton and a C compiler."""

import os
import shutil
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.utils._triton import has_triton

from service.specs.train import TrainSpec


def compiled(model: nn.Module, spec: TrainSpec, device: torch.device) -> Callable[..., Tensor]:
    """The compiled model when the spec asks for it and the machine has the toolchain, else the model as it is."""
    if not spec.compile or missing_toolchain(device):
        return model
    return torch.compile(model)


def missing_toolchain(device: torch.device) -> str | None:
    """What the machine lacks for compiling; None when nothing."""
    if device.type == "cuda":
        has_compiler = any(shutil.which(name) for name in (os.environ.get("CC", ""), "gcc", "clang", "cc"))
        return None if has_triton() and has_compiler else "Triton and a C compiler"
    compiler = os.environ.get("CXX", "g++")
    return None if shutil.which(compiler) else f"the C++ compiler {compiler}"


def notes(spec: TrainSpec, device: torch.device, left_out: int) -> list[str]:
    """What else `compile` means: samples that an epoch leaves out, and where it could not be done, that the results are
    the same and only take longer.
    """
    if not spec.compile:
        return []
    whole = (
        f"`compile` takes whole batches: each epoch leaves out {left_out} training samples, drawn anew with `shuffle`"
    )
    missing = missing_toolchain(device)
    plain = f"`compile` needs {missing}, which this worker does not have: the network ran as it is"
    return [*([whole] if left_out else []), *([plain] if missing else [])]
