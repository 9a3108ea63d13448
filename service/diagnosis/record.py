"""What the rules may look at: everything recorded about one training, as plain immutable values, and nothing else.

Of a long series the first points, the last points and the first value that is not finite are kept.
"""

import bisect
import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from service.diagnosis import thresholds as t
from service.reports.dataset import Profile
from service.reports.result import CheckupReport
from service.resolution.defaults import usual_lr
from service.specs.train import TrainSpec
from service.states import StopReason

Need = Literal["epochs", "validation", "probes", "steps", "gradients", "checkup", "profile"]
"""A part of the record that a rule cannot do without."""
FIRST_POINTS, LAST_POINTS = 200, 1000
"""Points of a series that the rules see, from its beginning and from its end."""


@dataclass(frozen=True, slots=True)
class Series:
    """Values of one name at optimizer steps (from 1, ascending); values may be NaN or infinite."""

    steps: tuple[int, ...] = ()
    values: tuple[float, ...] = ()

    def __len__(self) -> int:
        return len(self.steps)

    def before(self, step: int) -> "Series":
        """The points up to and including `step`."""
        count = bisect.bisect_right(self.steps, step)
        return Series(self.steps[:count], self.values[:count])

    def last(self, count: int) -> "Series":
        """The last `count` points."""
        return Series(self.steps[-count:], self.values[-count:])

    def at(self, step: int) -> float | None:
        """The last value at or before `step`."""
        earlier = self.before(step).values
        return earlier[-1] if earlier else None

    def finite(self) -> list[float]:
        """The values that are numbers."""
        return [value for value in self.values if math.isfinite(value)]

    def first_nonfinite(self) -> int | None:
        """The first step whose value is NaN or infinite."""
        return next((s for s, v in zip(self.steps, self.values, strict=True) if not math.isfinite(v)), None)


@dataclass(frozen=True, slots=True)
class Epoch:
    """Numbers of one epoch, as `EpochRecord` carries them."""

    number: int
    step: int
    train: Mapping[str, float] = field(default_factory=dict)
    val: Mapping[str, float] = field(default_factory=dict)
    probes: Mapping[str, float] = field(default_factory=dict)
    lr: float = 0.0


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One run: its resolved spec, what was recorded so far, and how it stands."""

    spec: TrainSpec
    epochs: tuple[Epoch, ...] = ()
    series: Mapping[str, Series] = field(default_factory=dict)
    checkup: CheckupReport | None = None
    profile: Profile | None = None
    stop_reason: StopReason | None = None
    ended: bool = False

    @property
    def classes(self) -> int:
        """Number of classes K; 2 when nothing tells."""
        if self.profile is not None:
            return max(2, len(self.profile.meta.classes))
        classes = self.before_training.get("classes")
        return int(classes) if isinstance(classes, int | float) and classes >= 2 else 2

    @property
    def before_training(self) -> Mapping[str, float | str | list[float] | list[int] | None]:
        """Statistics of the check-up, by name; empty where there was none."""
        return self.checkup.statistics if self.checkup else {}

    @property
    def guessing_loss(self) -> float:
        """ln K: the cross entropy of a model that guesses evenly."""
        return math.log(self.classes)

    @property
    def lr(self) -> float:
        """The full learning rate of the run."""
        value = self.spec.optimizer.lr
        if isinstance(value, int | float):
            return float(value)
        used = self.points("lr/group0").finite()
        return max(used) if used else self.usual_lr

    @property
    def usual_lr(self) -> float:
        """The usual learning rate of the run's optimizer on its network."""
        return usual_lr(self.spec.optimizer, self.spec.model)

    @property
    def steps(self) -> int:
        """Optimizer steps taken so far."""
        return max([self.epochs[-1].step if self.epochs else 0, *(s.steps[-1] for s in self.series.values() if len(s))])

    def missing(self) -> dict[Need, str]:
        """What rules need and has not been recorded, or not yet, in words for people."""
        probes_off = "" if self.spec.diagnose else " (`diagnose` is off in the spec)"
        gradients_off = "" if self.spec.gradients else " (`gradients` is off in the spec)"
        parts: dict[Need, tuple[object, str]] = {
            "epochs": (
                len(self.epochs) >= t.FLAT_MIN_EPOCHS,
                f"at least {t.FLAT_MIN_EPOCHS} epochs ({len(self.epochs)} so far)",
            ),
            "validation": (
                self.curve("val", "loss"),
                f"validation losses ({'the dataset has no val split' if self.epochs else 'no epoch has ended'})",
            ),
            "probes": (self.curve("probes", "clean_loss"), f"clean probes{probes_off}"),
            "steps": (self.points("train/loss"), "losses of single steps"),
            "gradients": (self.weight_gradients(), f"gradient norms{gradients_off}"),
            "checkup": (self.checkup, "the check-up before the first step"),
            "profile": (self.profile, "the dataset's profile"),
        }
        return {need: words for need, (recorded, words) in parts.items() if not recorded}

    def points(self, name: str) -> Series:
        """A step series by name; empty when it was not recorded."""
        return self.series.get(name, Series())

    def curve(self, split: str, name: str) -> list[float]:
        """A metric per epoch (`split` is train, val or probes); epochs without it are left out."""
        values = (getattr(epoch, split).get(name) for epoch in self.epochs)
        return [float(value) for value in values if value is not None]

    def clean_loss(self) -> list[float]:
        """L_c per epoch: training samples in eval mode through the train pipeline without its random operations."""
        return self.curve("probes", "clean_loss") or self.curve("train", "loss")

    def clean_accuracy(self) -> list[float]:
        """Accuracy on the clean probe per epoch."""
        return self.curve("probes", "clean_accuracy") or self.curve("train", "accuracy")

    def weight_gradients(self) -> dict[str, Series]:
        """Gradient norms of trainable matrices by parameter; biases are left out (before a BatchNorm they are zero)."""
        prefix, suffix = "grad/", ".weight/norm"
        return {
            name.removeprefix(prefix).removesuffix("/norm"): series
            for name, series in self.series.items()
            if name.startswith(prefix) and name.endswith(suffix)
        }

    def samples(self, split: str) -> int | None:
        """Samples in a split."""
        return None if self.profile is None else self.profile.meta.counts.get(split)

    def accuracy_error(self, accuracy: float) -> float:
        """Standard error of a val accuracy (binomial); 2 points when the split's size is unknown."""
        count = self.samples("val")
        return math.sqrt(max(accuracy * (1 - accuracy), 0.25 / count) / count) if count else 0.02


def is_judged(name: str) -> bool:
    """Whether rules read a series of steps by this name: means and maxima of gradients are for people, and the numbers
    of whole epochs are in the record's epochs.
    """
    return not name.startswith(("epoch/", "val/")) and not name.endswith(("/mean", "/max"))


def median(values: list[float]) -> float | None:
    """The median, or nothing of nothing."""
    return statistics.median(values) if values else None
