"""Labels as people write them -> class numbers from 0 on, with what had to be put right."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from service.errors import ImportRefusedError
from service.reports.finding import Finding
from worker.importing.findings import finding
from worker.importing.names import printable

MANY = 20
"""Samples from which on labels that hardly repeat are taken for measurements."""
MAX_CLASSES = 20_000
MAX_CLASS_NAME = 200


def number_labels(
    labels: NDArray[np.generic], known: Sequence[str] = ()
) -> tuple[NDArray[np.int64], list[str], list[Finding | None]]:
    """Class numbers, class names, and notes. `known` names the classes of labels 0, 1, ...

    ImportRefusedError when the labels are no classes.
    """
    notes: list[Finding | None] = []
    flat = _one_label_each(labels, notes)
    if flat.dtype.kind == "f":
        flat = _whole(flat, notes)
    values, numbers_N = np.unique(flat, return_inverse=True)
    _refuse_measurements(len(values), len(flat))
    if flat.dtype.kind in "iu" and len(values):
        notes.append(_check_start(int(values[0]), int(values[-1]), len(values)))
        if known and values[0] >= 0 and values[-1] < len(known):
            return flat.astype(np.int64), [_name(name) for name in known], notes
    return numbers_N.astype(np.int64), [_name(value) for value in values.tolist()], notes


def _one_label_each(labels: NDArray[np.generic], notes: list[Finding | None]) -> NDArray[np.generic]:
    if labels.size == 0:
        raise ImportRefusedError("labels-shape", f"labels of shape {labels.shape}: there are none")
    if labels.dtype.kind not in "iufbUS":
        raise ImportRefusedError("labels-dtype", f"labels of type {labels.dtype} are neither numbers nor text")
    if labels.ndim == 2 and labels.shape[1] == 1:
        return labels[:, 0]
    if labels.ndim == 2 and labels.dtype.kind in "iufb" and _is_one_hot(labels):
        notes.append(_wrong_type(f"one-hot rows of {labels.shape[1]} columns"))
        chosen: NDArray[np.int64] = labels.argmax(axis=1)
        return chosen
    if labels.ndim != 1:
        raise ImportRefusedError("labels-shape", f"labels of shape {labels.shape}; one a sample is needed")
    return labels


def _is_one_hot(labels: NDArray[np.generic]) -> bool:
    numbers = labels.astype(np.float64)
    return bool(np.isin(numbers, (0, 1)).all() and (numbers.sum(axis=1) == 1).all())


def _whole(labels: NDArray[np.generic], notes: list[Finding | None]) -> NDArray[np.int64]:
    numbers = labels.astype(np.float64)
    if not np.isfinite(numbers).all() or (numbers % 1 != 0).any() or (np.abs(numbers) > 2**53).any():
        raise ImportRefusedError(
            "labels-not-classes",
            "the labels are not whole numbers: that is a regression, and Trainwright trains classifiers",
        )
    notes.append(_wrong_type(f"numbers of type {labels.dtype}"))
    return numbers.astype(np.int64)


def _wrong_type(what: str) -> Finding:
    """P3: labels that a loss would not take."""
    return finding(
        "P3", "info",
        f"The labels were {what}; cross entropy wants whole numbers of classes (int64), and the dataset holds them.",
        "Nothing.", labels=what,
    )  # fmt: skip


def _refuse_measurements(classes: int, samples: int) -> None:
    if classes > MAX_CLASSES or (samples >= MANY and classes > samples / 2):
        raise ImportRefusedError(
            "labels-not-classes", f"{classes:,} different labels in {samples:,} samples: these are no classes"
        )


def _check_start(first: int, last: int, classes: int) -> Finding | None:
    """P4: labels that are no class numbers as a loss wants them."""
    if first == 0 and last == classes - 1:
        return None
    what = "start at 1" if first == 1 else f"run from {first} to {last} with {classes} different ones"
    return finding(
        "P4", "info",
        f"The labels {what}; a loss wants 0 to {classes - 1}. The dataset numbers them anew and keeps them as names.",
        "Nothing here; in code of your own subtract the first, or the loss fails or learns a class that is not there.",
        first=first, last=last, classes=classes,
    )  # fmt: skip


def _name(value: object) -> str:
    text = value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else str(value)
    return printable(text.strip())[:MAX_CLASS_NAME] or "(empty)"
