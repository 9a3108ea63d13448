"""What recording for the diagnosis costs: the processor time inside its functions beside that of the whole training.

Runs with and without recording differ by 5 % and more of themselves on a shared machine, whatever they record: too
coarse for a cost of one percent. The clock inside the functions sees that.
"""

import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from benchmarks.diagnosis.data import prepare
from benchmarks.measure import Measure
from service.events import EpochRecord, Phase
from service.specs.train import TrainSpec
from worker.engine import run
from worker.engine.context import RunContext
from worker.engine.training import gradients, probes

MODELS: dict[str, dict[str, Any]] = {
    "mlp": {"family": "mlp"},
    "cnn": {"family": "cnn", "channels": [16, 32], "hidden": [64]},
}
RECORDING: tuple[tuple[Any, str], ...] = (
    (probes, "measure"),
    (gradients, "statistics"),
    (gradients, "matrices"),
    (gradients, "copies"),
    (gradients, "update_ratio"),
)
SAMPLES, EPOCHS = 8000, 6


def measures() -> list[Measure]:
    """The share of everything that is recorded, and of the sampled gradients alone."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder, "data")
        prepare(data, "fashion", "plain", 0, SAMPLES, 1000)
        return [row for name, model in MODELS.items() for row in _measures(name, model, data, Path(folder, name))]


def _measures(name: str, model: dict[str, Any], data: Path, scratch: Path) -> list[Measure]:
    with clocked() as spent:
        whole = _seconds(model, data, scratch)
    training = whole - sum(spent.values())
    what, note = f"{name} on {SAMPLES:,} FashionMNIST images", f"{EPOCHS} epochs, processor time"
    return [
        Measure(f"{part}, {what}", 100 * seconds / training, target, "%", at_least=False, note=note)
        for part, seconds, target in (
            ("recording", whole - training, 3),
            ("gradients alone", spent["statistics"], 2),
        )
    ]


@contextmanager
def clocked() -> Iterator[dict[str, float]]:
    """Processor seconds inside each recording function while the block runs."""
    spent: dict[str, float] = defaultdict(float)

    def timed(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            began = time.process_time()
            try:
                return function(*arguments)
            finally:
                spent[name] += time.process_time() - began

        return call

    with ExitStack() as stack:
        for module, name in RECORDING:
            stack.enter_context(mock.patch.object(module, name, timed(name, getattr(module, name))))
        yield spent


def _seconds(model: dict[str, Any], data: Path, scratch: Path) -> float:
    """Processor seconds from the first step to the end of the last epoch."""
    scratch.mkdir()
    fields = {"kind": "train", "dataset": "fashion", "model": model, "epochs": EPOCHS, "early_stopping": None}
    began = ended = 0.0
    for event in run(TrainSpec.model_validate(fields), RunContext(scratch=scratch, dataset=data, threads=1)):
        if event == Phase("training"):
            began = time.process_time()
        if isinstance(event, EpochRecord):
            ended = time.process_time()
    return ended - began


if __name__ == "__main__":
    for measure in measures():
        print(measure.row())
