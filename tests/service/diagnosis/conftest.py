"""Literal records: a healthy run of 10 classes, changed by each test where it must be."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from service.diagnosis.record import Epoch, RunRecord, Series
from service.reports.dataset import DatasetMeta, Profile
from service.reports.result import Check, CheckupReport, Parameters
from service.specs.train import TrainSpec

MakeRecord = Callable[..., RunRecord]

MLP_ON_DIGITS: dict[str, Any] = {"kind": "train", "dataset": "digits", "model": {"family": "mlp"}}
HEALTHY_TRAIN = [1.20, 0.70, 0.50, 0.40, 0.34, 0.30, 0.27, 0.25, 0.23, 0.22]
HEALTHY_VAL = [1.25, 0.78, 0.60, 0.52, 0.47, 0.44, 0.42, 0.41, 0.40, 0.40]
HEALTHY_TRAIN_ACCURACY = [0.60, 0.75, 0.82, 0.86, 0.88, 0.90, 0.91, 0.92, 0.93, 0.93]
HEALTHY_VAL_ACCURACY = [0.58, 0.73, 0.79, 0.82, 0.84, 0.86, 0.86, 0.87, 0.87, 0.87]


def profile(counts: Mapping[str, int], mean: Sequence[float], std: Sequence[float], shared: int) -> Profile:
    meta = DatasetMeta(
        modality="image",
        classes=[str(digit) for digit in range(10)],
        shape=[8, 8, len(mean)],
        counts=dict(counts),
        mean=list(mean),
        std=list(std),
    )
    return Profile(meta=meta, class_counts={}, dtype="uint8", value_range=(0, 255), duplicates={"cross_split": shared})


def every_step(values: Sequence[float], first: int = 1) -> Series:
    return Series(tuple(range(first, first + len(values))), tuple(values))


@pytest.fixture
def make_record() -> MakeRecord:
    """A healthy record of ten epochs with ten steps each; keyword arguments replace its parts."""

    def make(
        *,
        train: Sequence[float] = HEALTHY_TRAIN,
        val: Sequence[float] = HEALTHY_VAL,
        train_accuracy: Sequence[float] = HEALTHY_TRAIN_ACCURACY,
        val_accuracy: Sequence[float] = HEALTHY_VAL_ACCURACY,
        probes: Mapping[str, Sequence[float]] | None = None,
        series: Mapping[str, Sequence[float]] | None = None,
        checks: Sequence[Check] = (),
        statistics: Mapping[str, float | str] | None = None,
        counts: Mapping[str, int] | None = None,
        mean: Sequence[float] = (0.3,),
        std: Sequence[float] = (0.35,),
        shared: int = 0,
        spec: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> RunRecord:
        extra = probes or {}
        epochs = tuple(
            Epoch(
                number=i + 1,
                step=10 * (i + 1),
                train={"loss": train[i], "accuracy": train_accuracy[i]},
                val={"loss": val[i], "accuracy": val_accuracy[i]},
                probes={"clean_loss": train[i], "clean_accuracy": train_accuracy[i], "val_pipeline_loss": train[i]}
                | {name: values[i] for name, values in extra.items()},
                lr=1e-3,
            )
            for i in range(len(train))
        )
        steps = {
            "train/loss": [1.0] * 100,
            "lr/group0": [1e-3] * 100,
            "grad_norm/total": [1.5] * 100,
            "update_ratio": [1e-3] * 100,
            "grad/0.weight/norm": [0.5] * 20,
            "grad/3.weight/norm": [0.5] * 20,
            "grad/0.bias/norm": [0.0] * 20,
        } | dict(series or {})
        return RunRecord(
            spec=TrainSpec.model_validate(MLP_ON_DIGITS | dict(spec or {})),
            epochs=epochs,
            series={name: every_step(values) for name, values in steps.items()},
            checkup=CheckupReport(
                parameters=Parameters(total=100, trainable=100), checks=list(checks), statistics=dict(statistics or {})
            ),
            profile=profile(counts or {"train": 1437, "val": 180, "test": 180}, mean, std, shared),
            **more,
        )

    return make
