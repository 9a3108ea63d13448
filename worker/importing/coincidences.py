"""Whether equal rows of a table are copies, or what columns of few values make of different cases.

Of two passengers only sex and class are known: that they are equal says nothing. The expected number of equal pairs, if
the columns were independent within each class, tells the two apart; dependent columns make some times as many.
"""

import numpy as np
from numpy.typing import NDArray

from worker.importing.duplicates import Duplicates

FEW = 0.05
"""Share of the rows; so few equal ones stay together, whatever they are: that changes nothing."""
DEPENDENCE = 10.0
"""Equal pairs for each expected one. Tables of few values have 0.5 to 9, tables with copies over 40 (KEEL's)."""
ROWS = 100_000


def are_coincidences(x_NF: NDArray[np.generic], y_N: NDArray[np.int64], duplicates: Duplicates) -> bool:
    """Whether the equal rows of a table are many, and no more than chance explains."""
    sizes = np.bincount(duplicates.exact_N)
    if sizes[sizes > 1].sum() <= FEW * len(y_N):
        return False
    pairs = float((sizes * (sizes - 1.0)).sum() / 2)
    step = -(-len(y_N) // ROWS)
    scale = len(y_N) / len(y_N[::step])
    return pairs <= DEPENDENCE * scale**2 * _expected_pairs(x_NF[::step], y_N[::step], pairs / DEPENDENCE / scale**2)


def _expected_pairs(x_NF: NDArray[np.generic], y_N: NDArray[np.int64], enough: float) -> float:
    """Equal pairs within the classes, were the columns independent there; stops where they cannot be enough."""
    members = [np.flatnonzero(y_N == label) for label in np.unique(y_N)]
    expected_K = np.array([len(rows) * (len(rows) - 1) / 2 for rows in members])
    for column in range(x_NF.shape[1]):
        if expected_K.sum() < enough:
            break
        values = np.asarray(x_NF[:, column])
        expected_K *= [_agreement(values[rows]) for rows in members]
    return float(expected_K.sum())


def _agreement(values: NDArray[np.generic]) -> float:
    """How likely two of the values are equal."""
    counts = np.unique(values, return_counts=True)[1].astype(np.float64)
    return float(((counts / len(values)) ** 2).sum())
