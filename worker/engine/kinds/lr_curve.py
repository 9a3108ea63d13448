"""Reads a learning rate off a sweep's loss curve: the rule measured best, and the simplest one beside it."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from service.reports.result import LrCurve, LrPoint

BASE_POINTS = 15
CLIP = 4.0
SMOOTHING_STEPS = 2.0
FIRST_STEEP = 5
LEAST_POINTS = 20
GOOD_DROP, WEAK_DROP = 0.02, 0.005
CONVERGED = 0.02
"""A probe loss in nats below which there is nothing left to fall."""
BELOW_MINIMUM = 3.0
"""The suggestion is at least this factor below the lr of the lowest loss."""
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Sweep:
    """Learning rates and losses of a sweep, in order; `ended` says why it stopped before its last step."""

    lrs: Floats
    losses: Floats
    ended: str | None = None
    measured: frozenset[int] | None = None
    """Steps whose loss was measured, the others' lies between their neighbours'; None: all."""

    @property
    def is_measured(self) -> list[bool]:
        """For each step."""
        return [self.measured is None or step in self.measured for step in range(len(self.lrs))]


def read_probe_curve(sweep: Sweep, fallback: float) -> LrCurve:
    """The fall of the loss on a fixed probe batch over log lr; `fallback` is the lr for a curve that says nothing.

    Base = median of the first losses; clip, smooth; end where the loss has risen; the steepest relative fall before
    the lowest point, but no closer to that than a factor of three. The absolute fall is steepest too early: its lr lost
    1.5 points of accuracy against the best of a grid, this one 0.8. This is the choice among some 24 rules on 17
    sweeps of 9 set-ups, which benchmarks/results/lr_find.md shares in part.
    """
    lrs, losses = _finite_part(sweep)
    if len(lrs) < LEAST_POINTS:
        return _curve(sweep, None, fallback, "none", _too_short(len(lrs)))
    base = float(np.median(losses[:BASE_POINTS]))
    smoothed = gaussian(np.minimum(losses, CLIP * base))
    rising = np.flatnonzero(smoothed > max(1.02 * base, base + 4 * float(np.std(losses[:BASE_POINTS]))))
    end = int(rising[0]) if len(rising) else len(lrs)
    lowest = int(np.argmin(smoothed[: max(end, 1)]))
    drop = (base - float(smoothed[lowest])) / max(base, 1e-12)
    quality, reason = _quality(drop, base, has_risen=len(rising) > 0, falls_at_all=lowest > FIRST_STEEP)
    if quality == "none":
        return _curve(sweep, smoothed, fallback, "none", reason)
    slopes = np.gradient(np.log(np.maximum(smoothed, CONVERGED)), np.log10(lrs))
    fastest = FIRST_STEEP + int(np.argmin(slopes[FIRST_STEEP : lowest + 1]))
    suggested = float(min(lrs[fastest], lrs[lowest] / BELOW_MINIMUM))
    steepest = float(lrs[int(np.argmin(np.gradient(smoothed[:end], np.log10(lrs[:end]))))])
    reason = f"{reason}; {_place(suggested, float(lrs[fastest]), steepest)}"
    return _curve(sweep, smoothed[:end], suggested, quality, reason, steepest, float(lrs[lowest] / 10))


def read_raw_curve(sweep: Sweep, fallback: float) -> LrCurve:
    """The rule `chapter`: the lr at the steepest fall of the raw training loss, the slope taken per step."""
    lrs, losses = _finite_part(sweep)
    if len(lrs) < 2:
        return _curve(
            sweep, None, fallback, "none", "the loss was not a number from the first steps on", rule="chapter"
        )
    steepest = float(lrs[int(np.argmin(np.gradient(losses)))])
    lowest = float(lrs[int(np.argmin(losses))] / 10)
    reason = "the steepest fall between two steps of the raw training loss, which is noisy, and no rate below it"
    return _curve(sweep, None, steepest, "weak", reason, steepest, lowest, rule="chapter")


def _place(suggested: float, fastest: float, steepest: float) -> str:
    """Where the suggestion lies, and why it is not below the steepest fall if so."""
    if suggested < fastest:
        rule = (
            f"a third of the lr of the lowest loss is suggested: the largest share falls close to it, at {fastest:.1e}"
        )
    else:
        rule = "the lr where the loss falls by the largest share is suggested"
    if suggested <= steepest:
        return rule
    return f"{rule}; the steepest fall, at {steepest:.1e}, comes too early"


def _finite_part(sweep: Sweep) -> tuple[Floats, Floats]:
    bad = np.flatnonzero(~np.isfinite(sweep.losses))
    end = int(bad[0]) if len(bad) else len(sweep.losses)
    return sweep.lrs[:end], sweep.losses[:end]


def gaussian(values: Floats, sigma: float = SMOOTHING_STEPS) -> Floats:
    """Centred Gaussian smoothing; the ends are mirrored."""
    radius = math.ceil(3 * sigma)
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    padded = np.pad(values, radius, mode="reflect") if len(values) > radius else np.pad(values, radius, mode="edge")
    smoothed: Floats = np.convolve(padded, kernel / kernel.sum(), mode="valid")
    return smoothed


def _too_short(points: int) -> str:
    if points <= 1:
        return "the loss was not a finite number from the first step on: look at the data, or lower lr_min"
    return f"only {points} finite losses; {LEAST_POINTS} are needed to read a curve: lower lr_min or raise num_steps"


def _quality(
    drop: float, base: float, *, has_risen: bool, falls_at_all: bool
) -> tuple[Literal["good", "weak", "none"], str]:
    words = f"the loss on the probe fell by {max(drop, 0):.1%} during the sweep"
    if drop >= GOOD_DROP and falls_at_all:
        return "good", words
    if drop >= WEAK_DROP and falls_at_all:
        return "weak", f"{words}; {GOOD_DROP:.0%} or more is a clear curve"
    if base < CONVERGED:
        return "none", f"{words} from {base:.3g}: the model has converged already"
    if not falls_at_all and has_risen:
        return "none", f"{words}: it rose from the first steps on, lr_min is too high"
    if has_risen:
        return "none", f"{words} before it rose: no learning rate of the range helps (look at the labels and the model)"
    return "none", f"{words} and did not rise: lr_max is too low, or hardly a parameter trains"


def _curve(
    sweep: Sweep,
    smoothed: Floats | None,
    suggested: float,
    quality: Literal["good", "weak", "none"],
    reason: str,
    steepest: float | None = None,
    minimum_over_ten: float | None = None,
    rule: str = "probe",
) -> LrCurve:
    shown: list[float | None] = [None] * len(sweep.lrs)
    if smoothed is not None:
        shown[: len(smoothed)] = smoothed.tolist()
    return LrCurve(
        points=[
            LrPoint(lr=float(lr), loss=float(loss) if measured else None, smoothed=smooth)
            for lr, loss, measured, smooth in zip(sweep.lrs, sweep.losses, sweep.is_measured, shown, strict=True)
            if math.isfinite(loss)
        ],
        suggested=suggested,
        steepest=steepest,
        minimum_over_ten=minimum_over_ten,
        quality=quality,
        reason=reason if sweep.ended is None else f"{reason}; {sweep.ended}",
        rule=rule,
    )
