"""The search for batch sizes that train: candidates downward, then doubling, then a prediction that is verified."""

import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field

from service.catalog.hyperparameters import LARGEST_BATCH_SHARE
from service.diagnosis.thresholds import LEAST_STEPS
from service.errors import OutOfMemoryError, RunError
from service.events import Event, Log, Progress
from service.specs.train import MAX_BATCH_SIZE, TrainSpec
from service.states import StopReason
from worker.engine.context import RunContext
from worker.engine.kinds.batch_probe import LEAST_STEPS as LEAST_TIMED
from worker.engine.kinds.batch_probe import WARM_STEPS, Measurement, available, measure
from worker.engine.runtime.precision import Precision

BUDGET = 0.90
"""Share of the memory that a predicted size may take."""
AFTER_FAILURE = 0.75
"""A predicted size that did not fit is tried again with this share of it."""
NEAR_BEST = 0.95
"""A size this close to the best throughput is fast enough."""
SLOW_SECONDS = 20.0
"""The search upward ends where measuring one size would take longer than this."""
Search = Generator[Event, None, None]


@dataclass
class Finder:
    """One search; `rows` holds every size that was tried."""

    spec: TrainSpec
    context: RunContext
    limit_bytes: int | None
    samples: int
    rows: dict[int, Measurement] = field(default_factory=dict)
    stopped: StopReason | None = None
    note: str = ""

    @property
    def fitting(self) -> list[Measurement]:
        """Sizes that trained, ascending."""
        return sorted((row for row in self.rows.values() if row.fits), key=lambda row: row.batch_size)

    @property
    def largest(self) -> int:
        """The largest size that trained, 0 when none did."""
        return self.fitting[-1].batch_size if self.fitting else 0

    def fits(self, size: int) -> Generator[Event, None, bool]:
        """Measures one size; returns whether it trains. Raises RunError on a failure that is not about memory."""
        measurement = measure(self.spec, self.context, size, self.limit_bytes, self.context.stop)
        if measurement is None:
            self.stopped = self.context.stop()
            return False
        if measurement.error is not None:
            raise RunError(f"batch size {size} could not be measured: {measurement.error}")
        self.rows[size] = measurement
        yield Log(_line(measurement))
        return measurement.fits

    def downward(self, candidates: Sequence[int], *, all_of_them: bool) -> Search:
        """Tries the candidates from the largest on, then goes on halving until a size trains."""
        for number, size in enumerate(sorted(candidates, reverse=True), start=1):
            fits = yield from self.fits(size)
            yield Progress(0.8 * number / len(candidates), number, len(candidates))
            if self.stopped or (fits and not all_of_them):
                return
        size = min(candidates)
        while not self.fitting and size > 1:
            size //= 2
            try:
                yield from self.fits(size)
            except RunError:
                if size > 1:
                    raise
                break  # BatchNorm cannot train on one sample: the size before was the least
            if self.stopped:
                return
        if not self.fitting:
            least = self.rows[min(self.rows)]
            raise OutOfMemoryError(
                f"not even batch_size {least.batch_size} trains ({least.reason}); try a smaller model or smaller images"
            )

    def upward(self, candidates: Sequence[int]) -> Search:
        """Doubles while the largest size trains, then looks between it and the first that does not."""
        top = min(MAX_BATCH_SIZE, self.samples)
        while self.largest >= max(candidates) and 2 * self.largest <= top and not self.stopped:
            size = 2 * self.largest
            if self._is_slow(size):
                self.note = f"; larger ones were not tried: {size} would take over {SLOW_SECONDS:.0f} s to measure"
                return
            predicted = self.predicted()
            if (predicted is not None and predicted < size) or not (yield from self.fits(size)):
                break
        yield from self._between(min([top + 1, *(size for size, row in self.rows.items() if not row.fits)]))

    def _between(self, too_large: int) -> Search:
        """Verifies the predicted largest size; on a failure three quarters of it."""
        size = rounded(min(self.predicted() or (self.largest + too_large) // 2, too_large - 1))
        while size > 1.05 * self.largest and not self.stopped and not self._is_slow(size):
            if (yield from self.fits(size)):
                return
            size = rounded(int(size * AFTER_FAILURE))

    def predicted(self) -> int | None:
        """The largest size by a straight line through the memory of the two largest that trained."""
        known = [(row.batch_size, row.memory_bytes) for row in self.fitting if row.memory_bytes]
        if len(known) < 2:
            return None
        (few, less), (many, more) = known[-2:]
        bytes_per_sample = (more - less) / (many - few)
        if bytes_per_sample <= 0:
            return None
        device = Precision.of(self.spec, self.context.device).device
        budget = BUDGET * available(device, self.limit_bytes)
        size = int((budget - (more - bytes_per_sample * many)) / bytes_per_sample)
        return min(max(size, 1), MAX_BATCH_SIZE)

    def _is_slow(self, size: int) -> bool:
        speed = self.fitting[-1].samples_per_second or math.inf
        return (WARM_STEPS + LEAST_TIMED) * size * self.spec.accumulate / speed > SLOW_SECONDS

    def recommended(self) -> Measurement:
        """The smallest size within 5 % of the best throughput that leaves at least 20 steps an epoch."""
        sensible = self._sensible or self.fitting[:1]
        best = max(row.samples_per_second or 0.0 for row in sensible)
        return next(row for row in sensible if (row.samples_per_second or 0.0) >= NEAR_BEST * best)

    def why(self, chosen: Measurement) -> str:
        """The rule that decided for the recommended size."""
        sensible, bounds = self._sensible, f"{LEAST_STEPS} steps an epoch, at most a fifth of the samples"
        if not sensible:
            return f"the smallest that trained: none keeps to the bounds ({bounds})"
        fastest = max(sensible, key=lambda row: row.samples_per_second or 0.0)
        speed = f"{fastest.samples_per_second or 0:,.0f} samples/s"
        if len(sensible) == 1:
            rule = f"the only one that trained within the bounds ({bounds})"
        elif fastest is chosen:
            rule = f"the fastest ({speed}), and no smaller one is within 5 % of it"
        else:
            rule = f"the smallest within 5 % of the best throughput ({speed} with {fastest.batch_size})"
        is_bounded = self.largest > sensible[-1].batch_size and len(sensible) > 1
        return f"{rule}; sizes above {sensible[-1].batch_size} are out of bounds ({bounds})" if is_bounded else rule

    @property
    def _sensible(self) -> list[Measurement]:
        return [row for row in self.fitting if is_sensible(row.batch_size, self.samples)]


def usable(candidates: Sequence[int], samples: int, *, sensible: bool = False) -> list[int]:
    """Candidates that the train split can fill (or that leave enough steps an epoch); the smallest one in any case."""
    fit = [size for size in candidates if (is_sensible(size, samples) if sensible else size <= samples)]
    return fit or [min(min(candidates), samples)]


def rounded(size: int) -> int:
    """Down to a multiple of eight, which suits the hardware."""
    return size // 8 * 8 or size


def is_sensible(size: int, samples: int) -> bool:
    """Whether a size leaves enough steps an epoch to learn from."""
    return size <= LARGEST_BATCH_SHARE * samples and samples / size >= LEAST_STEPS


def _line(measurement: Measurement) -> str:
    if not measurement.fits:
        return f"batch size {measurement.batch_size} does not fit: {measurement.reason}"
    return (
        f"batch size {measurement.batch_size} trains: {(measurement.memory_bytes or 0) / 2**20:,.0f} MiB, "
        f"{measurement.samples_per_second or 0:,.0f} samples/s"
    )
