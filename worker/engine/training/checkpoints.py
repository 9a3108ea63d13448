"""Resume states and model files, written so that a crash never leaves half of one."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from service.durable_files import write_durably


def save(path: Path, state: dict[str, Any]) -> Path:
    """Writes a resume state; it holds tensors and plain values only, so that it can be read without pickle."""
    return write_durably(path, lambda file: torch.save(state, file))


def load(path: Path) -> dict[str, Any]:
    """Reads a resume state onto the CPU; never unpickles."""
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return state


def save_model(path: Path, weights: Mapping[str, Tensor], about: Mapping[str, object]) -> Path:
    """Writes weights alone as safetensors; `about` (spec, classes, shape, normalisation) goes into the header."""
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in weights.items()}
    header = {key: json.dumps(value) for key, value in about.items()}

    def write(file: Path) -> None:
        save_file(tensors, file, metadata=header)
        _order_header(file)

    return write_durably(path, write)


def _order_header(path: Path) -> None:
    """safetensors writes `about` in an order that differs from process to process; equal models get equal hashes."""
    with path.open("r+b") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
        if len(text) <= size:
            file.seek(8)
            file.write(text.ljust(size))
