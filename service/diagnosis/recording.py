"""A run record that grows with the events of a run, in bounded memory: the head and the tail of each series."""

import math
from collections import deque

from service.diagnosis.record import FIRST_POINTS, LAST_POINTS, Epoch, RunRecord, Series, is_judged
from service.events import EpochRecord, Event, Reported, Resumed, StepRecord, Stopped
from service.reports.dataset import Profile
from service.reports.result import CheckupReport
from service.specs.train import TrainSpec
from service.states import StopReason

Point = tuple[int, float]


class Points:
    """One series: its first points, its last points, and its first value that is not finite."""

    def __init__(self) -> None:
        self.head: list[Point] = []
        self.tail: deque[Point] = deque(maxlen=LAST_POINTS)
        self.nonfinite: Point | None = None

    def add(self, step: int, value: float) -> None:
        """Takes a point; steps ascend."""
        if self.nonfinite is None and not math.isfinite(value):
            self.nonfinite = (step, value)
        if len(self.head) < FIRST_POINTS:
            self.head.append((step, value))
        else:
            self.tail.append((step, value))

    def truncate(self, step: int) -> None:
        """Forgets what came after `step`."""
        self.head = [point for point in self.head if point[0] <= step]
        self.tail = deque((point for point in self.tail if point[0] <= step), maxlen=LAST_POINTS)
        if self.nonfinite is not None and self.nonfinite[0] > step:
            self.nonfinite = None

    def series(self) -> Series:
        """The points that are kept, in order."""
        points = [*self.head, *self.tail]
        if self.nonfinite is not None and self.nonfinite not in points:
            points = sorted([*points, self.nonfinite])
        return Series(tuple(step for step, _ in points), tuple(value for _, value in points))


class Recording:
    """Listens to a run's events; `record()` is what the diagnosis may judge at any moment."""

    def __init__(self, spec: TrainSpec, profile: Profile | None = None) -> None:
        self.spec = spec
        self.profile = profile
        self._epochs: list[Epoch] = []
        self._points: dict[str, Points] = {}
        self._checkup: CheckupReport | None = None
        self._stop_reason: StopReason | None = None

    @classmethod
    def of(cls, record: RunRecord) -> "Recording":
        """Goes on from what was recorded before (by an earlier attempt)."""
        recording = cls(record.spec, record.profile)
        recording._epochs, recording._checkup = list(record.epochs), record.checkup
        for name, series in record.series.items():
            points = recording._points.setdefault(name, Points())
            for step, value in zip(series.steps, series.values, strict=True):
                points.add(step, value)
        return recording

    def add(self, event: Event) -> None:
        """Takes one event; those that the diagnosis does not read are passed over."""
        match event:
            case StepRecord(step=step, values=values):
                for name, value in values.items():
                    if is_judged(name):
                        self._points.setdefault(name, Points()).add(step, value)
            case EpochRecord():
                self._epochs.append(
                    Epoch(event.epoch, event.step, event.train, event.val, event.probes, event.lr),
                )
            case Resumed(step=step):
                self._truncate(step)
            case Reported(report=CheckupReport() as checkup):
                self._checkup = checkup
            case Stopped(reason=reason):
                self._stop_reason = reason
            case _:
                pass

    def record(self) -> RunRecord:
        """What is known so far."""
        return RunRecord(
            spec=self.spec,
            epochs=tuple(self._epochs),
            series={name: points.series() for name, points in self._points.items()},
            checkup=self._checkup,
            profile=self.profile,
            stop_reason=self._stop_reason,
            ended=self._stop_reason is not None,
        )

    def _truncate(self, step: int) -> None:
        self._epochs = [epoch for epoch in self._epochs if epoch.step <= step]
        for points in self._points.values():
            points.truncate(step)
