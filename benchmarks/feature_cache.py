"""Feature extraction of a frozen backbone, ten epochs: cached activations against recomputing them."""

import tempfile
import time
from pathlib import Path

from benchmarks.data import fashion_mnist, pack
from benchmarks.measure import Measure
from service.events import Reported
from service.reports.classification import ClassificationReport
from service.specs import JOB_SPEC
from worker.engine import run
from worker.engine.context import RunContext

SAMPLES, EPOCHS = 1000, 10


def measure() -> list[Measure]:
    """The whole job both ways, same seed; their test accuracies go into the note."""
    images_NHW, labels_N = fashion_mnist()
    with tempfile.TemporaryDirectory() as folder:
        pack(Path(folder), images_NHW[:SAMPLES], labels_N[:SAMPLES], held_out=100)
        plain, plain_accuracy = _run(Path(folder), cache_frozen=False)
        cached, cached_accuracy = _run(Path(folder), cache_frozen=True)
    note = f"{plain:.1f} s against {cached:.1f} s; accuracy {plain_accuracy:.3f} and {cached_accuracy:.3f}"
    return [Measure("feature extraction, 10 epochs: recomputed / cached", plain / cached, 8, note=note)]


def _run(data: Path, *, cache_frozen: bool) -> tuple[float, float]:
    model = {"family": "torchvision", "arch": "resnet18", "mode": "feature_extraction", "image_size": 64}
    spec = JOB_SPEC.validate_python(
        {
            "kind": "train",
            "dataset": "bench",
            "model": model | {"cache_frozen": cache_frozen},
            "epochs": EPOCHS,
            "early_stopping": None,
        }
    )
    start, accuracy = time.perf_counter(), 0.0
    with tempfile.TemporaryDirectory() as scratch:
        for event in run(spec, RunContext(scratch=Path(scratch), dataset=data, threads=2)):
            if isinstance(event, Reported) and isinstance(event.report, ClassificationReport):
                accuracy = event.report.accuracy
    return time.perf_counter() - start, accuracy
