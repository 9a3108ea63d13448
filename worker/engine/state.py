"""Everything a training run carries from step to step, and how it is put into a checkpoint and taken out again."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from service.reports.dataset import DatasetMeta
from service.specs.train import TrainSpec
from service.states import StopReason
from worker.engine import seeding
from worker.engine.context import RunContext
from worker.engine.data.batches import Batches
from worker.engine.optim import EarlyStopping, Ema, Schedule
from worker.engine.precision import Precision
from worker.engine.probes import Probe


@dataclass
class Sums:
    """Running sums of the epoch that is under way."""

    loss: float = 0.0
    correct: float = 0.0
    samples: int = 0
    seconds: float = 0.0


@dataclass
class Best:
    """The best epoch so far and its weights (of the moving average, when there is one)."""

    epoch: int = 0
    metrics: dict[str, float] = field(default_factory=dict)
    weights: dict[str, Tensor] = field(default_factory=dict)


@dataclass
class TrainingState:
    """One run. `epoch` is under way (from 1), `batch` of its batches and `step` optimizer steps are done."""

    spec: TrainSpec
    context: RunContext
    meta: DatasetMeta
    precision: Precision
    model: nn.Module
    forward: nn.Module
    """The model, or its compiled form."""
    criterion: nn.Module
    optimizer: torch.optim.Optimizer
    schedule: Schedule
    stopping: EarlyStopping
    scaler: torch.amp.GradScaler
    ema: Ema | None
    train: Batches
    val: Batches
    probe: Probe | None
    batch_size: int
    epoch: int = 1
    batch: int = 0
    step: int = 0
    sums: Sums = field(default_factory=Sums)
    best: Best = field(default_factory=Best)
    stop_reason: StopReason | None = None
    saved: Path | None = None
    notes: list[str] = field(default_factory=list)
    resume_exact: bool = True

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps in an epoch."""
        return math.ceil(len(self.train) / self.spec.accumulate)

    @property
    def total_steps(self) -> int:
        """Optimizer steps in the whole run."""
        return self.steps_per_epoch * self.spec.epochs

    def evaluated_weights(self) -> dict[str, Tensor]:
        """The weights that validation and the model file use."""
        return self.ema.values if self.ema else self.model.state_dict()

    def snapshot(self) -> dict[str, Any]:
        """Everything an exact resume needs, in types that load without pickle."""
        return {
            "model": self.model.state_dict(),
            "ema": self.ema.values if self.ema else None,
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state(),
            "stopping": self.stopping.state(),
            "scaler": self.scaler.state_dict(),
            "generators": seeding.capture(),
            "epoch": self.epoch,
            "batch": self.batch,
            "step": self.step,
            "sums": vars(self.sums).copy(),
            "best": {"epoch": self.best.epoch, "metrics": self.best.metrics, "weights": self.best.weights},
            "threads": torch.get_num_threads(),
            "device": self.precision.device.type,
            "batch_size": self.batch_size,
            "notes": self.notes,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Brings back a snapshot; the resume is exact on the CPU with as many threads as before."""
        self.model.load_state_dict(state["model"])
        if self.ema and state["ema"] is not None:
            for name, tensor in state["ema"].items():
                self.ema.values[name].copy_(tensor)
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load(state["schedule"])
        self.stopping.load(state["stopping"])
        self.scaler.load_state_dict(state["scaler"])
        self.epoch, self.batch, self.step = state["epoch"], state["batch"], state["step"]
        self.sums = Sums(**state["sums"])
        self.best = Best(**state["best"])
        self.notes = list(state["notes"])
        here = (torch.get_num_threads(), self.precision.device.type)
        self.resume_exact = here == (state["threads"], "cpu") and state["device"] == "cpu"
        seeding.restore(state["generators"])
