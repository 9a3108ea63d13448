"""Engine throughput: against the bare model step on a resident batch (the physical limit), Lightning and fastai."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

from benchmarks import peers
from benchmarks.data import fashion_mnist, pack
from benchmarks.measure import Measure, interleaved
from service.events import EpochRecord
from service.specs.train import TrainSpec
from worker.engine import models, run
from worker.engine.context import RunContext

BATCH, SAMPLES, EPOCHS = 64, 6400, 2
SHAPE, CLASSES = (28, 28, 1), 10


def _spec(augment: str) -> TrainSpec:
    return TrainSpec.model_validate(
        {
            "kind": "train",
            "dataset": "bench",
            "model": {"family": "cnn"},
            "epochs": EPOCHS,
            "batch_size": BATCH,
            "augment": augment,
            "early_stopping": None,
        }
    )


def _bare_step(threads: int) -> Callable[[], None]:
    """Forward, loss, backward, clip and step on one batch that never leaves the device: as many as the engine runs, in
    the engine's memory format and with its fused optimizer, so that this is the limit.
    """
    torch.manual_seed(0)
    model = models.build(_spec("none").network, SHAPE, CLASSES).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    images_BCHW, labels_B = torch.randn(BATCH, 1, 28, 28), torch.randint(CLASSES, (BATCH,))

    def work() -> None:
        torch.set_num_threads(threads)
        for _ in range(EPOCHS * SAMPLES // BATCH):
            optimizer.zero_grad(set_to_none=True)
            nn.functional.cross_entropy(model(images_BCHW), labels_B).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()

    return work


class EngineRun:
    """Runs the whole engine and adds up the time of its training epochs (without validation and final reports)."""

    def __init__(self, folder: Path, augment: str, threads: int) -> None:
        self.folder, self.augment, self.threads = folder, augment, threads
        self.training_seconds: list[float] = []

    def __call__(self) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            context = RunContext(scratch=Path(scratch), dataset=self.folder, threads=self.threads)
            events = run(_spec(self.augment), context)
            self.training_seconds.append(sum(event.seconds for event in events if isinstance(event, EpochRecord)))


def measure() -> list[Measure]:
    """Ratios of samples per second."""
    threads = torch.get_num_threads()
    images_NHW, labels_N = fashion_mnist()
    chosen = (images_NHW[:SAMPLES], labels_N[:SAMPLES])
    measures = []
    with tempfile.TemporaryDirectory() as folder:
        pack(Path(folder), *chosen)
        for augment, limit in (("none", 0.9), ("standard", 0.8)):
            engine = EngineRun(Path(folder), augment, threads)
            times = interleaved({"bare": _bare_step(threads), "engine": engine}, rounds=5)
            spent = float(np.median(engine.training_seconds))
            note = f"{EPOCHS * SAMPLES / spent:,.0f} samples/s, {threads} threads"
            measures.append(Measure(f"engine / bare step, augment {augment}", times["bare"] / spent, limit, note=note))
        for augment in ("none", "standard"):
            measures += _against_peers(Path(folder), chosen, augment, threads)
    return measures


def _against_peers(folder: Path, data: peers.Arrays, augment: str, threads: int) -> list[Measure]:
    """One epoch each, the peer with the better of 0 and 2 loader workers, its set-up outside the clock's reach.

    A peer's time is that of three epochs less that of one, halved: start-up costs cancel out.
    """
    ours = EngineRun(folder, augment, threads)
    for _ in range(3):
        ours()
    epoch_seconds = float(np.median(ours.training_seconds)) / EPOCHS
    measures = []
    for name, train in (("Lightning", peers.lightning_epochs), ("fastai", peers.fastai_epochs)):
        best = min(_peer_epoch(train, data, augment, workers) for workers in (0, 2))
        label = f"engine / {name}, augment {augment}"
        note = f"{best:.2f} s against {epoch_seconds:.2f} s an epoch"
        measures.append(Measure(label, best / epoch_seconds, 1.5, note=note))
    return measures


def _peer_epoch(train: Callable[..., None], data: peers.Arrays, augment: str, workers: int) -> float:
    def epochs(n: int) -> float:
        model = models.build(_spec("none").network, SHAPE, CLASSES)
        start = time.perf_counter()
        train(model, data, batch_size=BATCH, epochs=n, augment=augment != "none", workers=workers)
        return time.perf_counter() - start

    one, three = epochs(1), epochs(3)
    return (three - one) / 2
