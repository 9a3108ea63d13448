"""Small statistics over curves that several rules share."""

import itertools
import math
import statistics
from collections.abc import Sequence


def median_of_three(values: Sequence[float]) -> list[float]:
    """Each value replaced by the median of itself and its neighbours; the ends keep two."""
    return [statistics.median(values[max(0, i - 1) : i + 2]) for i in range(len(values))]


def lowest(values: Sequence[float]) -> int:
    """Index of the first minimum."""
    return min(range(len(values)), key=values.__getitem__)


def changes(values: Sequence[float]) -> list[float]:
    """Differences between neighbours."""
    return [after - before for before, after in itertools.pairwise(values)]


def deviation(values: Sequence[float]) -> float:
    """Median absolute deviation from the median; 0 of nothing."""
    if not values:
        return 0.0
    middle = statistics.median(values)
    return statistics.median(abs(value - middle) for value in values)


def slope(values: Sequence[float]) -> float:
    """Least-squares slope per step of an evenly spaced curve; 0 below two points."""
    if len(values) < 2:
        return 0.0
    return statistics.linear_regression(range(len(values)), list(values)).slope


def flips(values: Sequence[float]) -> float:
    """Share of neighbouring changes that differ in sign."""
    signs = [change > 0 for change in changes(values) if change != 0]
    return sum(a != b for a, b in itertools.pairwise(signs)) / max(1, len(signs) - 1)


def over_chance(accuracy: float, classes: int) -> float:
    """Accuracy rescaled so that guessing is 0 and perfect is 1."""
    chance = 1 / classes
    return max(0.0, (accuracy - chance) / (1 - chance))


def decimal(value: float) -> str:
    """Two significant digits without an exponent, for people: 0.000074."""
    digits = 1 - math.floor(math.log10(abs(value))) if value else 0
    return f"{value:.{max(0, digits)}f}"


def margin(value: float, threshold: float) -> float:
    """Confidence of a value above its threshold: 0.5 at the threshold, towards 1 far above it."""
    if value <= 0 or threshold <= 0:
        return 1.0
    return round(min(0.99, max(0.5, 1 - 0.5 * threshold / value)), 2)
