"""Curves that the rules are tried on: losses and accuracies of ten epochs."""

from collections.abc import Callable

from service.diagnosis.record import RunRecord

Make = Callable[..., RunRecord]
"""The fixture `make_record`."""
FLAT = [2.30, 2.31, 2.29, 2.30, 2.30, 2.31, 2.30, 2.30, 2.30, 2.30]
CHANCE = [0.1] * 10
MEMORISED = [0.8, 0.4, 0.2, 0.1, 0.05, 0.03, 0.02, 0.01, 0.008, 0.006]
MEMORISED_ACCURACY = [0.7, 0.85, 0.93, 0.97, 0.99, 1.0, 1.0, 1.0, 1.0, 1.0]
RISING = [0.9, 0.7, 0.62, 0.65, 0.70, 0.76, 0.82, 0.88, 0.95, 1.02]
STEADY_ACCURACY = [0.7, 0.75, 0.80, 0.80, 0.80, 0.80, 0.80, 0.80, 0.80, 0.80]
