"""Plays the worker: fills the store through its own functions, as a worker would."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from service.datasets import imports
from service.events import EpochRecord, StepRecord
from service.jobs import completion
from service.reports.classification import AverageRow, ClassificationReport, ClassRow, ConfusedPair, ConfusionReport
from service.reports.dataset import DatasetContent, DatasetMeta, Profile
from service.reports.environment import EnvironmentReport, MachineReport
from service.reports.part import ReportPart
from service.reports.result import Parameters, TrainResult
from service.specs.dataset import BuiltinSource
from service.states import JobState, StopReason
from service.store import attempts, datasets, events, files, metrics, reports
from service.store.attempts import Claim, Fence
from service.store.events import NewEvent
from service.store.session import Store
from service.store.tables import DatasetRow

ENVIRONMENT = EnvironmentReport(
    versions={"trainwright": "0.1.0", "python": "3.11.2", "torch": "2.13.0", "numpy": "2.2.0"},
    machine=MachineReport(platform="Linux", processor="a processor", instructions="AVX2", cores=4, threads=2, gpu=None),
)
CLASSES = [str(number) for number in range(10)]
OVERFITTING = (1.5, 1.2, 1.0, 0.9, 0.95, 1.05, 1.2, 1.4, 1.6, 1.9, 2.2, 2.5, 2.8)
HEALTHY = tuple(1.6 * 0.8**epoch + 0.05 for epoch in range(13))
"""Val losses per epoch."""
WORKER = "018f0000-0000-7000-8000-000000000001"


@dataclass(frozen=True)
class SimulatedWorker:
    """A worker that trains nothing: each method stores what a real one would."""

    store: Store

    def dataset(self, name: str = "digits", samples: int = 20) -> DatasetRow:
        """A ready dataset of grey 8x8 images."""
        with self.store.begin() as session:
            row = imports.create(session, name, BuiltinSource(kind="builtin"))
        self.import_dataset(row.id, row.job_id, samples)
        with self.store.read() as session:
            return datasets.get(session, row.id)

    def import_dataset(self, dataset_id: str, job_id: str, samples: int = 20) -> None:
        """Runs the import of a dataset."""
        claim = self.claim(job_id)
        x = np.arange(samples * 64, dtype=np.uint8).reshape(samples, 8, 8, 1)
        y = np.arange(samples, dtype=np.int64) % 10
        split = np.arange(samples, dtype=np.uint8) % 3
        arrays: dict[str, Any] = {"x": x, "y": y, "split": split}
        for name, array in arrays.items():
            self.save_array(dataset_id, f"{name}.npy", array)
        with self.store.begin() as session:
            imports.fill(session, dataset_id, content(samples))
            completion.end(session, job_id, JobState.SUCCEEDED, fence=claim.fence)

    def save_array(self, owner: str, name: str, array: Any) -> None:
        """A numpy array as a file of a dataset."""
        path = Path(tempfile.mkdtemp(dir=self.store.settings.home)) / name
        np.save(path, array)
        self.save(owner, name, "dataset", path)

    def save(self, owner: str, name: str, role: str, path: Path, **facts: Any) -> None:
        """A file of a job or dataset."""
        stored = self.store.artifacts.put(f"jobs/{owner}/{name}", path)
        with self.store.begin() as session:
            files.put(session, owner, name, role, stored, **facts)

    def save_bytes(self, owner: str, name: str, role: str, data: bytes, **facts: Any) -> None:
        """The same from bytes."""
        path = Path(tempfile.mkdtemp(dir=self.store.settings.home)) / name
        path.write_bytes(data)
        self.save(owner, name, role, path, **facts)

    def claim(self, job_id: str) -> Claim:
        """A worker takes the job."""
        with self.store.begin() as session:
            claim = attempts.claim(session, job_id, WORKER, 60)
        assert claim is not None
        return claim

    def record(self, fence: Fence, records: list[StepRecord | EpochRecord]) -> None:
        """A worker writes numbers."""
        with self.store.begin() as session:
            attempts.lock(session, fence)
            metrics.write(session, fence.job_id, records)

    def report(self, fence: Fence, name: str, report: ReportPart) -> None:
        """A worker writes a report."""
        with self.store.begin() as session:
            reports.put(session, fence.job_id, fence.attempt, name, report.model_dump(mode="json"))

    def log(self, job_id: str, message: str, level: str = "info") -> None:
        """A worker writes a line."""
        with self.store.begin() as session:
            events.append(session, job_id, [NewEvent("log", {"message": message}, level)])

    def end(self, fence: Fence, state: JobState = JobState.SUCCEEDED) -> None:
        """A worker ends the job."""
        with self.store.begin() as session:
            completion.end(session, fence.job_id, state, fence=fence, stop_reason=StopReason.COMPLETED)

    def record_losses(self, job_id: str, val_losses: Sequence[float], val_accuracy: float = 0.8) -> Fence:
        """A training that goes on, whose clean train loss falls while its val loss goes as given."""
        fence = self.claim(job_id).fence
        for number, loss in enumerate(val_losses, 1):
            train = 2.0 * 0.75**number
            accuracy = 1 - 0.5 * 0.8**number
            steps: list[StepRecord | EpochRecord] = [
                StepRecord(step=step, epoch=number, values={"train/loss": train, "lr/group0": 1e-3})
                for step in range(10 * number - 9, 10 * number + 1)
            ]
            epoch = EpochRecord(
                epoch=number,
                step=10 * number,
                train={"loss": train, "accuracy": accuracy},
                val={"loss": loss, "accuracy": val_accuracy},
                lr=1e-3,
                seconds=0.1,
                probes={"clean_loss": train, "clean_accuracy": accuracy, "val_pipeline_loss": train},
            )
            self.record(fence, [*steps, epoch])
        return fence

    def train(self, job_id: str, epochs: int = 3) -> Fence:
        """A whole training: numbers, reports and files."""
        fence = self.claim(job_id).fence
        self.report(fence, "environment", ENVIRONMENT)
        for epoch in range(1, epochs + 1):
            steps: list[StepRecord | EpochRecord] = [
                StepRecord(step=step, epoch=epoch, values={"train/loss": 2.0 / step, "lr/group0": 1e-3})
                for step in range(10 * epoch - 9, 10 * epoch + 1)
            ]
            self.record(fence, [*steps, epoch_record(epoch, epochs)])
        for split in ("val", "test"):
            self.report(fence, f"report:{split}", classification(split))
            self.report(fence, f"confusion:{split}", confusion(split))
        self.report(fence, "result", train_result(epochs))
        self.save_bytes(job_id, "model.safetensors", "model", bytes(range(256)) * 8, step=30, epoch=epochs)
        self.log(job_id, "trained")
        self.end(fence)
        return fence


def epoch_record(epoch: int, epochs: int) -> EpochRecord:
    """An epoch of a training that goes well."""
    return EpochRecord(
        epoch=epoch,
        step=10 * epoch,
        train={"loss": 2.0 / epoch, "accuracy": 1 - 0.5 / epoch},
        val={"loss": 2.1 / epoch, "accuracy": 1 - 0.6 / epoch},
        lr=1e-3 * (1 - epoch / (epochs + 1)),
        seconds=0.1,
        is_best=True,
        probes={"clean_loss": 1.9 / epoch},
    )


def content(samples: int) -> DatasetContent:
    """What an import of `SimulatedWorker.dataset` yields."""
    meta = DatasetMeta(
        modality="image",
        classes=CLASSES,
        shape=[8, 8, 1],
        counts={"train": samples - 12, "val": 6, "test": 6},
        mean=[0.3],
        std=[0.3],
    )
    counts = {split: dict.fromkeys(CLASSES, 2) for split in ("train", "val", "test")}
    return DatasetContent(
        hash="a" * 64, profile=Profile(meta=meta, class_counts=counts, dtype="uint8", value_range=(0, 255))
    )


def classification(split: str) -> ClassificationReport:
    """A perfect report."""
    rows = [ClassRow(name=name, precision=1, recall=1, f1=1, support=2) for name in CLASSES]
    average = AverageRow(precision=1, recall=1, f1=1, support=20)
    return ClassificationReport(
        split=split, accuracy=0.975, loss=0.1, top_k={"1": 0.975}, macro=average, weighted=average, classes=rows
    )


def confusion(split: str) -> ConfusionReport:
    """Mostly right; one 3 taken for an 8."""
    matrix = [[2 if i == j else 0 for j in range(10)] for i in range(10)]
    matrix[3][3], matrix[3][8] = 1, 1
    normalized = [[count / 2 for count in row] for row in matrix]
    pair = ConfusedPair(true="3", predicted="8", count=1, share=0.5)
    return ConfusionReport(split=split, labels=CLASSES, matrix=matrix, normalized=normalized, most_confused=[pair])


def train_result(epochs: int) -> TrainResult:
    """How `SimulatedWorker.train` ends."""
    return TrainResult(
        stop_reason=StopReason.COMPLETED,
        epochs=epochs,
        steps=10 * epochs,
        best_epoch=epochs,
        best={"loss": 0.7, "accuracy": 0.8},
        test={"loss": 0.1, "accuracy": 0.975},
        parameters=Parameters(total=1000, trainable=1000),
        seconds=1.0,
        samples_per_second=100.0,
    )
