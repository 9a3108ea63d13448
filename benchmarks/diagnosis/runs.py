"""One run on the real engine, judged live after each epoch and once more at the end."""

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.diagnosis.data import prepare
from benchmarks.diagnosis.injection import injected
from service.diagnosis.judge import diagnose
from service.diagnosis.record import RunRecord
from service.diagnosis.recording import Recording
from service.errors import DivergedError
from service.events import EpochRecord, FileSaved, Stopped
from service.reports.finding import Finding
from service.resolution.patches import patched_spec
from service.specs.train import TrainSpec
from service.states import StopReason
from worker.engine import run as engine_run
from worker.engine.context import RunContext

Patch = dict[str, Any]
PRETRAINING = 1200
"""Samples of the first training that fine-tuning starts from."""


@dataclass(frozen=True)
class Setup:
    """Everything that determines a run."""

    dataset: str
    seed: int
    patch: Patch
    """On the default `train` spec, by dotted path."""
    twist: str = "plain"
    injection: str | None = None
    train: int = 400
    val: int = 300
    pretrained: bool = False
    """Starts from the model file of a first training on another draw of the same data."""


@dataclass
class Outcome:
    """What became of a run."""

    record: RunRecord
    findings: tuple[Finding, ...] = ()
    first_epoch: dict[str, int] = field(default_factory=dict)
    """Rule -> epoch in which it was first told as a warning."""

    @property
    def warnings(self) -> set[str]:
        """Ids of the rules that warn at the end."""
        return {finding.rule for finding in self.findings if finding.severity != "info"}

    @property
    def remarks(self) -> set[str]:
        """Ids of the rules that only remark."""
        return {finding.rule for finding in self.findings if finding.severity == "info"}

    @property
    def accuracy(self) -> float:
        """Val accuracy of the epoch with the lowest val loss; 0 when no epoch ended."""
        epochs = [epoch for epoch in self.record.epochs if epoch.val.get("loss") == epoch.val.get("loss")]
        return min(epochs, key=lambda epoch: epoch.val["loss"]).val["accuracy"] if epochs else 0.0


def base_spec(seed: int, patch: Patch) -> TrainSpec:
    """A small spec: 30 epochs, batches of 32, gradients looked at every 5 steps."""
    spec = TrainSpec.model_validate(
        {"kind": "train", "dataset": "bench", "seed": seed, "epochs": 30, "batch_size": 32, "gradients": {"every": 5}}
    )
    return patched_spec(spec, patch)


def execute(setup: Setup) -> Outcome:
    """Runs and judges; a divergence is an outcome."""
    spec = base_spec(setup.seed, setup.patch)
    with tempfile.TemporaryDirectory() as folder, injected(setup.injection):
        data, scratch = Path(folder, "data"), Path(folder, "scratch")
        scratch.mkdir()
        profile = prepare(data, setup.dataset, setup.twist, setup.seed, setup.train, setup.val)
        recording = Recording(spec, profile)
        first: dict[str, int] = {}
        try:
            weights = _pretrain(setup, spec, Path(folder)) if setup.pretrained else None
            for event in engine_run(spec, RunContext(scratch=scratch, dataset=data, threads=1, weights=weights)):
                recording.add(event)
                if isinstance(event, EpochRecord):
                    _note(first, recording.record(), event.epoch)
        except DivergedError:
            recording.add(Stopped(StopReason.DIVERGED))
    record = recording.record()
    _note(first, record, len(record.epochs) + (record.stop_reason is StopReason.DIVERGED))
    return Outcome(record, diagnose(record).findings, first)


def _pretrain(setup: Setup, spec: TrainSpec, folder: Path) -> Path:
    data, scratch = folder / "other data", folder / "first"
    scratch.mkdir()
    prepare(data, setup.dataset, setup.twist, setup.seed + 1000, PRETRAINING, setup.val)
    first = patched_spec(spec, {"model.weights": None, "model.mode": "full", "optimizer.lr": 3e-3, "epochs": 20})
    files = [event for event in engine_run(first, RunContext(scratch, data)) if isinstance(event, FileSaved)]
    return next(file.path for file in files if file.role == "model")


def _note(first: dict[str, int], record: RunRecord, epoch: int) -> None:
    for finding in diagnose(record).findings:
        if finding.severity != "info":
            first.setdefault(finding.rule, max(1, epoch))
