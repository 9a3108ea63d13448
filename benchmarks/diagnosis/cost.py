"""What recording for the diagnosis costs: processor time of the same training with and without it."""

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.diagnosis.data import prepare
from benchmarks.measure import Measure
from service.events import EpochRecord, Phase
from service.specs.train import TrainSpec
from worker.engine import run
from worker.engine.context import RunContext

MODELS: dict[str, dict[str, Any]] = {
    "mlp": {"family": "mlp"},
    "cnn": {"family": "cnn", "channels": [16, 32], "hidden": [64]},
}
OFF: dict[str, Any] = {"diagnose": False, "gradients": None}
SAMPLES, EPOCHS, ROUNDS = 8000, 3, 5


def measures() -> list[Measure]:
    """Median over interleaved rounds, in percent of the training without it."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder, "data")
        prepare(data, "fashion", "plain", 0, SAMPLES, 1000)
        return [_measure(name, model, data, Path(folder)) for name, model in MODELS.items()]


def _measure(name: str, model: dict[str, Any], data: Path, folder: Path) -> Measure:
    ratios = []
    for round_number in range(ROUNDS):
        pair = [
            _seconds(model, options, data, folder / f"{name}{round_number}{n}") for n, options in enumerate((OFF, {}))
        ]
        ratios.append(100 * (pair[1] / pair[0] - 1))
    what = f"recording, {name} on {SAMPLES:,} FashionMNIST images"
    return Measure(what, statistics.median(ratios), 3, "%", at_least=False, note=f"{EPOCHS} epochs, processor time")


def _seconds(model: dict[str, Any], options: dict[str, Any], data: Path, scratch: Path) -> float:
    """Processor seconds from the first step to the end of the last epoch."""
    scratch.mkdir()
    fields = {"kind": "train", "dataset": "fashion", "model": model, "epochs": EPOCHS, "early_stopping": None} | options
    began = ended = 0.0
    for event in run(TrainSpec.model_validate(fields), RunContext(scratch=scratch, dataset=data, threads=1)):
        if event == Phase("training"):
            began = time.process_time()
        if isinstance(event, EpochRecord):
            ended = time.process_time()
    return ended - began
