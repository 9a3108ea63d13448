"""Where and in which number format a run computes."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Literal

import torch

from service.errors import DataError
from service.specs.training import TrainingPart


@dataclass(frozen=True)
class Precision:
    """Device, autocast format (None: full precision) and whether gradients are scaled (fp16 only)."""

    device: torch.device
    dtype: torch.dtype | None = None

    def autocast(self) -> AbstractContextManager[object]:
        """The context for forward passes and losses."""
        return torch.autocast(self.device.type, dtype=self.dtype) if self.dtype else nullcontext()

    def scaler(self) -> torch.amp.GradScaler:
        """A gradient scaler; it does nothing unless the format is fp16 on CUDA."""
        return torch.amp.GradScaler(self.device.type, enabled=self.dtype is torch.float16)


def choose(spec: TrainingPart, device: str) -> Precision:
    """The spec's wish on the device the worker offers; raises DataError when `cuda` is asked for and absent."""
    wanted: Literal["auto", "cpu", "cuda"] = spec.device
    if wanted == "cuda" and not torch.cuda.is_available():
        raise DataError("the spec asks for device `cuda` and this worker has none: use `auto` or `cpu`")
    where = torch.device("cpu" if wanted == "cpu" else device)
    if where.type != "cuda":
        return Precision(where)
    match spec.precision:
        case "bf16":
            return Precision(where, torch.bfloat16)
        case "fp16":
            return Precision(where, torch.float16)
        case "fp32":
            return Precision(where)
        case _:
            return Precision(where, torch.bfloat16 if torch.cuda.is_bf16_supported() else None)


def notes(spec: TrainingPart, where: Precision) -> list[str]:
    """What the choice of device and format means for this run, for people."""
    found: list[str] = []
    if where.device.type == "cpu" and spec.precision in ("bf16", "fp16"):
        found.append(f"precision `{spec.precision}` is for CUDA devices; this run computed in fp32 on the CPU")
    if where.device.type == "cuda" and spec.deterministic:
        found.append("`deterministic` costs 10-20 % of the speed on a GPU; switch it off while exploring")
    return found
