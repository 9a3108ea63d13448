"""Reads a learning rate off a sweep's loss curve: the rule measured best, and the chapter's literal one beside it."""

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
BELOW_MINIMUM = 3.0
"""The suggestion is at least this factor below the lr of the lowest loss."""
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Sweep:
    """Learning rates and losses of a sweep, in order; `ended` says why it stopped before its last step."""

    lrs: Floats
    losses: Floats
    ended: str | None = None


def read_probe_curve(sweep: Sweep, fallback: float, *, trainable: int) -> LrCurve:
    """The rule measured best, on losses of a fixed probe batch; `fallback` is the lr for a curve that says nothing."""
    lrs, losses = _finite_part(sweep)
    if len(lrs) < LEAST_POINTS:
        reason = f"only {len(lrs)} finite losses before the sweep ended ({sweep.ended or 'too short'}); 20 are needed"
        return _curve(sweep, None, fallback, "none", reason)
    base = float(np.median(losses[:BASE_POINTS]))
    smoothed = gaussian(np.minimum(losses, CLIP * base))
    rising = np.flatnonzero(smoothed > max(1.02 * base, base + 4 * float(np.std(losses[:BASE_POINTS]))))
    end = int(rising[0]) if len(rising) else len(lrs)
    lowest = int(np.argmin(smoothed[: max(end, 1)]))
    drop = (base - float(smoothed[lowest])) / max(base, 1e-12)
    quality, reason = _quality(drop, lowest, trainable)
    if quality == "none":
        return _curve(sweep, smoothed, fallback, "none", reason)
    slopes = np.gradient(smoothed, np.log10(lrs))
    steepest = FIRST_STEEP + int(np.argmin(slopes[FIRST_STEEP : lowest + 1]))
    suggested = min(lrs[steepest], lrs[lowest] / BELOW_MINIMUM)
    return _curve(sweep, smoothed, float(suggested), quality, reason, float(lrs[steepest]), float(lrs[lowest] / 10))


def read_chapter_curve(sweep: Sweep, fallback: float) -> LrCurve:
    """The chapter's section 1.2: the lr at the steepest fall of the raw training loss, the slope taken per step."""
    lrs, losses = _finite_part(sweep)
    if len(lrs) < 2:
        return _curve(
            sweep, None, fallback, "none", "the loss was not a number from the first steps on", rule="chapter"
        )
    steepest = float(lrs[int(np.argmin(np.gradient(losses)))])
    lowest = float(lrs[int(np.argmin(losses))] / 10)
    reason = "the chapter's literal rule: steepest fall between two steps of the raw loss (noisy)"
    return _curve(sweep, None, steepest, "weak", reason, steepest, lowest, rule="chapter")


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


def _quality(drop: float, lowest: int, trainable: int) -> tuple[Literal["good", "weak", "none"], str]:
    if trainable == 0:
        return "none", "no parameter of the model trains: all are frozen"
    if lowest <= FIRST_STEEP:
        return "none", "the loss rose from the first steps on: lr_min is too high, or the model has converged already"
    words = f"the loss on the probe fell by {max(drop, 0):.1%} during the sweep"
    if drop >= GOOD_DROP:
        return "good", words
    if drop >= WEAK_DROP:
        return "weak", words + "; 2 % or more is a clear curve"
    return "none", words + ": too little to read a learning rate off (range too low, or already converged)"


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
            LrPoint(lr=float(lr), loss=float(loss), smoothed=smooth)
            for lr, loss, smooth in zip(sweep.lrs, sweep.losses, shown, strict=True)
        ],
        suggested=suggested,
        steepest=steepest,
        minimum_over_ten=minimum_over_ten,
        quality=quality,
        reason=reason if sweep.ended is None else f"{reason}; {sweep.ended}",
        rule=rule,
    )
