"""Where and in which number format a run computes."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch

from service.errors import DataError
from service.specs.training import TrainingPart


@dataclass(frozen=True)
class Precision:
    """Device, autocast format (None: full precision) and whether gradients are scaled (fp16 only)."""

    device: torch.device
    dtype: torch.dtype | None = None

    @classmethod
    def of(cls, spec: TrainingPart, offered: str) -> "Precision":
        """The spec's choice on the device that the worker offers; DataError when `cuda` is asked for and absent."""
        if spec.device == "cuda" and not torch.cuda.is_available():
            raise DataError("the spec asks for device `cuda` and this worker has none: use `auto` or `cpu`")
        device = torch.device("cpu" if spec.device == "cpu" else offered)
        if device.type != "cuda":
            return cls(device)
        match spec.precision:
            case "bf16":
                return cls(device, torch.bfloat16)
            case "fp16":
                return cls(device, torch.float16)
            case "fp32":
                return cls(device)
            case _:
                return cls(device, torch.bfloat16 if torch.cuda.is_bf16_supported() else None)

    def autocast(self) -> AbstractContextManager[object]:
        """The context for forward passes and losses."""
        return torch.autocast(self.device.type, dtype=self.dtype) if self.dtype else nullcontext()

    def scaler(self) -> torch.amp.GradScaler:
        """A gradient scaler; it does nothing unless the format is fp16 on CUDA."""
        return torch.amp.GradScaler(self.device.type, enabled=self.dtype is torch.float16)

    def notes(self, spec: TrainingPart) -> list[str]:
        """What the choice of device and format means for a run of this spec, for people."""
        notes: list[str] = []
        if self.device.type == "cpu" and spec.precision in ("bf16", "fp16"):
            notes.append(f"precision `{spec.precision}` is for CUDA devices; this run computed in fp32 on the CPU")
        if self.device.type == "cuda" and spec.deterministic:
            notes.append("`deterministic` costs 10-20 % of the speed on a GPU; switch it off while exploring")
        return notes
