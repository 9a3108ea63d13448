"""Stores of 4 GB, made in an instant (a sparse file with a few real rows), and trainings on them under a real limit.

As a program it is a process of its own that trains with all of its address space limited: what it maps counts too, so
that nothing of the store may be mapped.
"""

import json
import resource
import sys
from pathlib import Path

import numpy as np

from service.events import EpochRecord, StepRecord
from service.reports.dataset import SPLITS, DatasetMeta
from service.specs.train import TrainSpec
from tests.worker.engine.runs import only, reports_of
from worker.engine import preload, run
from worker.engine.context import RunContext
from worker.engine.runtime.memory import status_bytes
from worker.importing.npy_rows import create_rows, open_rows

__all__ = ["preload"]
LIMIT_BYTES = 1_500_000_000
STORE_BYTES = 4 * 2**30
CLASSES = 10
REAL_ROWS = 50


def make_store(folder: Path, shape: tuple[int, ...], dtype: type[np.uint8] | type[np.float32]) -> Path:
    """Samples of one shape that take 4 GB together; 96 % of them are for training."""
    folder.mkdir(parents=True, exist_ok=True)
    samples = STORE_BYTES // (int(np.prod(shape)) * np.dtype(dtype).itemsize) + 1
    create_rows(folder / "x.npy", (samples, *shape), np.dtype(dtype))
    x = open_rows(folder / "x.npy")
    rng = np.random.default_rng(0)
    for index in np.linspace(0, samples - 1, REAL_ROWS, dtype=np.int64):
        x[index] = rng.integers(0, 255, shape)
    split = np.zeros(samples, np.uint8)
    split[::50], split[1::50] = 1, 2
    np.save(folder / "y.npy", np.arange(samples) % CLASSES)
    np.save(folder / "split.npy", split)
    meta = DatasetMeta(
        modality="image" if len(shape) == 3 else "features",
        classes=[str(label) for label in range(CLASSES)],
        shape=list(shape),
        counts={name: int((split == number).sum()) for number, name in enumerate(SPLITS)},
        mean=[0.0] * shape[-1],
        std=[1.0] * shape[-1],
    )
    (folder / "meta.json").write_text(meta.model_dump_json())
    return folder


def main() -> None:
    """Trains, and prints what was seen."""
    data, scratch, spec = sys.argv[1:]
    resource.setrlimit(resource.RLIMIT_AS, (LIMIT_BYTES, LIMIT_BYTES))
    context = RunContext(scratch=Path(scratch), dataset=Path(data))
    events = list(run(TrainSpec.model_validate_json(spec), context))
    seen = {
        "samples": sum(row.support for row in reports_of(events)["report:test"].classes),
        "loss": only(events, EpochRecord)[-1].val["loss"],
        "steps": only(events, StepRecord)[-1].step,
        "peak_bytes": status_bytes("VmHWM"),
    }
    print(json.dumps(seen))


if __name__ == "__main__":
    main()
