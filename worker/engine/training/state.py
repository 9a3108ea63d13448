"""Everything a training run carries from step to step, and how it is put into a checkpoint and taken out again."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from service.events import EpochRecord, Progress
from service.reports.dataset import DatasetMeta
from service.reports.result import Parameters
from service.resolution.defaults import lowered_lr
from service.specs.train import TrainSpec
from service.states import StopReason
from worker.engine.context import RunContext
from worker.engine.data.batches import BatchSource
from worker.engine.data.split_samples import Normalisation
from worker.engine.runtime import seeding
from worker.engine.runtime.precision import Precision
from worker.engine.runtime.preserve import PassState, Weights
from worker.engine.training.optimizer_step import OptimizerStep, StepLoss
from worker.engine.training.optimizers import EarlyStopping, Ema, Schedule, base_lr
from worker.engine.training.probes import Probe


@dataclass
class Sums:
    """Running sums of the epoch that is under way."""

    loss: float = 0.0
    correct: float = 0.0
    samples: int = 0
    seconds: float = 0.0

    def add(self, step: StepLoss) -> None:
        """Takes in one step."""
        self.loss += step.loss * step.samples
        self.correct += step.correct
        self.samples += step.samples

    @property
    def mean_loss(self) -> float:
        """Mean training loss of the epoch so far."""
        return self.loss / max(self.samples, 1)

    @property
    def accuracy(self) -> float:
        """Share of training samples that were right when they were trained on."""
        return self.correct / max(self.samples, 1)


@dataclass
class Best:
    """The best epoch so far and its weights (of the moving average, when there is one)."""

    epoch: int = 0
    step: int = 0
    metrics: dict[str, float] = field(default_factory=dict)
    weights: dict[str, Tensor] = field(default_factory=dict)


@dataclass
class Saved:
    """What has been written to files already."""

    position: tuple[int, int, int] | None = None
    """Of the last resume state."""
    best_step: int = 0
    """The step of the last best weights."""


@dataclass
class Splits:
    """The data of a run; with a feature cache they are features of frozen layers."""

    batch_size: int
    train: BatchSource
    val: BatchSource
    test: Callable[[], BatchSource]
    """Opens the test split, which is read once, at the end."""
    probe: Probe | None
    """Fixed training samples that the diagnosis looks at."""


@dataclass
class TrainingState:
    """One run. `epoch` is under way (from 1), `batch` of its batches and `step` optimizer steps are done."""

    spec: TrainSpec
    context: RunContext
    meta: DatasetMeta
    normalisation: Normalisation
    precision: Precision
    sizes: Parameters
    """Of the whole network, even where `model` lacks frozen layers because their features are cached."""

    model: nn.Module
    before_step: PassState
    optimizer_step: OptimizerStep
    ema: Ema | None
    splits: Splits
    schedule: Schedule
    stopping: EarlyStopping
    whole: Callable[[Weights], Weights] = lambda weights: weights
    """Turns the trained weights into those of the whole network (adds frozen layers whose features are cached)."""

    epoch: int = 1
    batch: int = 0
    step: int = 0
    sums: Sums = field(default_factory=Sums)
    best: Best = field(default_factory=Best)
    seconds: float = 0.0
    """Spent training in whole epochs, over all attempts."""
    saved: Saved = field(default_factory=Saved)
    stop_reason: StopReason | None = None
    resume_exact: bool = True
    notes: list[str] = field(default_factory=list)
    records: list[EpochRecord] = field(default_factory=list)
    """The epochs of a search's trial, which are published when it has won."""

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps in an epoch."""
        return math.ceil(len(self.splits.train) / self.spec.accumulate)

    @property
    def total_steps(self) -> int:
        """Optimizer steps in the whole run."""
        return self.steps_per_epoch * self.spec.epochs

    @property
    def position(self) -> tuple[int, int, int]:
        """Epoch under way, batches done of it, optimizer steps done."""
        return self.epoch, self.batch, self.step

    @property
    def last_epoch(self) -> int:
        """The epoch of the last step, 0 before the first: one that has ended counts, one that has no step does not."""
        return self.epoch if self.batch else self.epoch - 1

    @property
    def lr(self) -> float:
        """Learning rate of the first parameter group."""
        return float(self.optimizer_step.optimizer.param_groups[0]["lr"])

    @property
    def calmer_lr(self) -> float:
        """The spec's learning rate for another try after this one diverged."""
        return lowered_lr(self.spec, base_lr(self.spec.optimizer), 10)

    def progress(self) -> Progress:
        """How far the run is."""
        return Progress(self.step / self.total_steps, self.step, self.total_steps)

    def evaluated_weights(self) -> dict[str, Tensor]:
        """The weights that validation and the model file use."""
        return self.ema.values if self.ema else self.model.state_dict()

    def snapshot(self) -> dict[str, Any]:
        """Everything an exact resume needs, in types that load without pickle."""
        return {
            "model": self.model.state_dict(),
            "ema": self.ema.values if self.ema else None,
            "optimizer": self.optimizer_step.optimizer.state_dict(),
            "schedule": self.schedule.state(),
            "stopping": self.stopping.state(),
            "scaler": self.optimizer_step.scaler.state_dict(),
            "generators": seeding.capture(),
            "epoch": self.epoch,
            "batch": self.batch,
            "step": self.step,
            "sums": vars(self.sums).copy(),
            "best": vars(self.best).copy(),
            "seconds": self.seconds,
            "overflows": self.optimizer_step.overflows,
            "threads": torch.get_num_threads(),
            "device": self.precision.device.type,
            "batch_size": self.splits.batch_size,
            "notes": self.notes,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Brings back a snapshot; the resume is exact on the CPU with as many threads as before."""
        self.model.load_state_dict(state["model"])
        if self.ema and state["ema"] is not None:
            for name, tensor in self.ema.values.items():
                tensor.copy_(state["ema"].get(name, tensor))
        self.optimizer_step.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load(state["schedule"])
        self.stopping.load(state["stopping"])
        self.optimizer_step.scaler.load_state_dict(state["scaler"])
        self.epoch, self.batch, self.step = state["epoch"], state["batch"], state["step"]
        self.sums = Sums(**state["sums"])
        self.best = Best(**state["best"])
        self.seconds, self.optimizer_step.overflows = state["seconds"], state["overflows"]
        self.notes = list(state["notes"])
        here = (torch.get_num_threads(), self.precision.device.type)
        self.resume_exact = here == (state["threads"], "cpu") and state["device"] == "cpu"
        seeding.restore(state["generators"])
