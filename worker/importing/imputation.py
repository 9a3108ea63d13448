"""Missing values: what is not a finite number is replaced by the feature's median over the train split, and told."""

import numpy as np
from numpy.typing import NDArray

from service.reports.finding import Finding
from worker.importing.findings import SHOWN, finding
from worker.importing.splits import TRAIN

SERIOUS_SHARE = 0.05
ROWS = 4096
MEDIAN_ROWS = 100_000


def impute(x_NF: NDArray[np.float32], split_N: NDArray[np.uint8], names: list[str]) -> list[Finding | None]:
    """Fills `x` in place; P14 says what was missing."""
    missing_F, rows = np.zeros(x_NF.shape[1], np.int64), 0
    for start in range(0, len(x_NF), ROWS):
        is_missing = ~np.isfinite(x_NF[start : start + ROWS])
        missing_F, rows = missing_F + is_missing.sum(axis=0), rows + int(is_missing.any(axis=1).sum())
    columns = np.flatnonzero(missing_F)
    if not len(columns):
        return []
    medians_F = _medians(x_NF, np.flatnonzero(split_N == TRAIN), columns)
    for start in range(0, len(x_NF), ROWS):
        piece = x_NF[start : start + ROWS]
        part = piece[:, columns]
        piece[:, columns] = np.where(np.isfinite(part), part, medians_F)
    return [_finding(missing_F, columns, rows, len(x_NF), names)]


def _medians(x_NF: NDArray[np.float32], train: NDArray[np.int64], columns: NDArray[np.int64]) -> NDArray[np.float32]:
    """Of the finite values of some training rows; 0 where there are none."""
    sample = x_NF[train[:: max(len(train) // MEDIAN_ROWS, 1)]][:, columns]
    finite = [column[np.isfinite(column)] for column in sample.T]
    return np.array([np.median(column) if len(column) else 0.0 for column in finite], np.float32)


def _finding(
    missing_F: NDArray[np.int64], columns: NDArray[np.int64], rows: int, samples: int, names: list[str]
) -> Finding:
    worst = columns[np.argsort(-missing_F[columns], kind="stable")][:SHOWN]
    shown = [names[index] if names else f"feature {index}" for index in worst]
    return finding(
        "P14", "critical" if rows > SERIOUS_SHARE * samples else "warning",
        f"{int(missing_F.sum()):,} values in {rows:,} samples were missing, NaN or infinite, most in `{shown[0]}`. "
        "One NaN turns a whole network into NaN; they were filled with the median of the training samples.",
        "Find out why they are missing; leave out columns that mostly are.",
        values=int(missing_F.sum()), samples_concerned=rows, samples=samples, features=shown,
        missing=[float(missing_F[index]) for index in worst],
    )  # fmt: skip
