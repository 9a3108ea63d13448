"""Specs resolved for a dataset like `digits`, with little that the server allows."""

from typing import Any

from service.reports.dataset import DatasetMeta
from service.resolution.resolve import Resolution, resolve
from service.resolution.validation import Limits
from service.specs import JOB_SPEC


def meta(**changes: Any) -> DatasetMeta:
    """Facts like those of `digits`."""
    facts: dict[str, Any] = {
        "modality": "image",
        "classes": [str(n) for n in range(10)],
        "shape": [8, 8, 1],
        "counts": {"train": 1437, "val": 180, "test": 180},
        "mean": [0.3],
        "std": [0.3],
    }
    return DatasetMeta.model_validate(facts | changes)


def resolved(data: DatasetMeta | None = None, **spec: Any) -> Resolution:
    """A `train` spec with these fields, resolved."""
    body = {"kind": "train", "dataset": "digits"} | spec
    return resolve(JOB_SPEC.validate_python(body), Limits(max_epochs=1000, max_parameters=10**8), data)
