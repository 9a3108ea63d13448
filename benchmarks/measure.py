"""One measured claim, and how it is printed."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Measure:
    """A number that was seen, beside the target it is held against."""

    what: str
    value: float
    target: float
    unit: str = "x"
    at_least: bool = True
    note: str = ""

    @property
    def reached(self) -> bool:
        """Whether the number meets its target."""
        return self.value >= self.target if self.at_least else self.value <= self.target

    def row(self) -> str:
        """A row of the table."""
        sign = ">=" if self.at_least else "<="
        verdict = "reached" if self.reached else "MISSED"
        cells = (
            self.what,
            f"{self.value:,.3g} {self.unit}",
            f"{sign} {self.target:,g} {self.unit}",
            verdict,
            self.note,
        )
        return "| " + " | ".join(cells) + " |"


def seconds(work: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def interleaved(works: dict[str, Callable[[], object]], rounds: int = 5) -> dict[str, float]:
    """Median seconds of each work, their rounds interleaved so that a noisy machine disturbs all alike."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            times[name].append(seconds(work))
    return {name: statistics.median(values) for name, values in times.items()}
