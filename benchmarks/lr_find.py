"""A learning-rate sweep of 100 steps against 100 training steps of the same engine."""

import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.data import fashion_mnist, pack
from benchmarks.measure import Measure
from service.events import Phase
from service.specs import JOB_SPEC
from worker.engine import run
from worker.engine.context import RunContext

ROUNDS, STEPS, BATCH = 5, 100, 64
COMMON = {"dataset": "bench", "model": {"family": "cnn"}, "batch_size": BATCH}


def measure() -> list[Measure]:
    """Medians of the phase `training`, rounds interleaved."""
    images_NHW, labels_N = fashion_mnist()
    sweeps, trainings = [], []
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        pack(data, images_NHW[: STEPS * BATCH], labels_N[: STEPS * BATCH])
        for _ in range(ROUNDS):
            # The sweep is not to diverge early: all of its steps are paid for.
            sweeps.append(_training_seconds({"kind": "lr-find", "num_steps": STEPS, "lr_max": 0.01}, data))
            trainings.append(_training_seconds({"kind": "train", "epochs": 1, "diagnose": False}, data))
    ratio = statistics.median(sweeps) / statistics.median(trainings)
    note = f"{statistics.median(sweeps):.2f} s against {statistics.median(trainings):.2f} s"
    return [Measure("lr-find, 100 steps / 100 training steps", ratio, 1.1, at_least=False, note=note)]


def _training_seconds(fields: dict[str, object], data: Path) -> float:
    """Seconds from the phase `training` to the next phase, or to the end."""
    started = ended = 0.0
    with tempfile.TemporaryDirectory() as scratch:
        for event in run(
            JOB_SPEC.validate_python(COMMON | fields), RunContext(scratch=Path(scratch), dataset=data, threads=2)
        ):
            if isinstance(event, Phase):
                ended = time.perf_counter() if started else 0.0
                started = started or (time.perf_counter() if event.name == "training" else 0.0)
    return (ended or time.perf_counter()) - started
