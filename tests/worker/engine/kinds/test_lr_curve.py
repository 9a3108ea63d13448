"""Reading a learning rate off a curve: literal curves, each with one thing to see."""

import math

import numpy as np
import pytest

from worker.engine.kinds.lr_curve import Floats, Sweep, gaussian, read_probe_curve, read_raw_curve

LRS: Floats = np.geomspace(1e-7, 1.0, 100)
DECADES = np.log10(LRS)


def falling(centre: float = -3.0, depth: float = 1.8, explodes: float = -0.7) -> Floats:
    """A loss that falls from 2.3 around 10**centre and explodes from 10**explodes on."""
    fall = depth / (1 + np.exp(-(DECADES - centre) / 0.3))
    rise = np.where(explodes < DECADES, np.exp(6 * (DECADES - explodes)) - 1, 0)
    return 2.3 - fall + rise


def steepest(losses: Floats) -> float:
    """Where the logarithm of a curve without noise falls fastest over the logarithm of the lr."""
    return float(LRS[np.argmin(np.gradient(np.log(losses)))])


BEST = steepest(falling(explodes=1))


def test_suggests_the_steepest_relative_fall_over_log_lr() -> None:
    for centre in (-5.0, -3.0, -2.0):
        curve = read_probe_curve(Sweep(LRS, falling(centre)), 1e-3)
        assert curve.quality == "good"
        expected = steepest(falling(centre, explodes=1))
        assert curve.suggested == pytest.approx(expected, rel=0.2)
        assert 10**centre < expected < 10 ** (centre + 0.4)


def test_reports_a_tenth_of_the_minimum_too() -> None:
    curve = read_probe_curve(Sweep(LRS, falling()), 1e-3)
    assert curve.minimum_over_ten is not None
    assert 0.005 < curve.minimum_over_ten < 0.02
    assert curve.rule == "probe"


def test_stays_a_factor_of_three_below_the_minimum() -> None:
    """Where the loss falls ever faster until it explodes, the steepest point is too close to the edge."""
    losses = np.where(DECADES < -1, 2.3 - 1.5 * np.maximum(0, DECADES + 3) ** 3 / 8, 20.0)
    curve = read_probe_curve(Sweep(LRS, losses), 1e-3)
    assert curve.minimum_over_ten is not None
    assert curve.suggested == pytest.approx(curve.minimum_over_ten * 10 / 3)
    assert curve.steepest is not None
    assert curve.suggested < curve.steepest
    assert "a third of the lr of the lowest loss is suggested" in curve.reason


@pytest.mark.parametrize("explodes", [-1.5, -0.7, 1.0])
def test_the_steepest_point_is_that_of_the_curve_as_shown(explodes: float) -> None:
    curve = read_probe_curve(Sweep(LRS, falling(explodes=explodes)), 1e-3)
    shown = [(point.lr, point.smoothed) for point in curve.points if point.smoothed is not None]
    lrs, smoothed = np.array(shown).T
    assert curve.steepest == pytest.approx(lrs[np.argmin(np.gradient(smoothed, np.log10(lrs)))])
    assert curve.steepest == pytest.approx(1e-3, rel=0.2)
    assert curve.suggested > (curve.steepest or math.inf)
    assert "the steepest fall, at 1.1e-03, comes too early" in curve.reason


def test_a_loss_that_was_not_measured_is_null() -> None:
    measured = frozenset(range(0, 100, 4))
    curve = read_probe_curve(Sweep(LRS, falling(), measured=measured), 1e-3)
    assert {step for step, point in enumerate(curve.points) if point.loss is not None} == measured


def test_noise_at_tiny_rates_is_no_minimum() -> None:
    """The raw derivative by lr is largest where lr is tiny: the slope is taken over log lr, after smoothing."""
    noisy = falling() + 0.02 * np.random.default_rng(0).standard_normal(100)
    curve = read_probe_curve(Sweep(LRS, noisy), 1e-3)
    assert curve.suggested == pytest.approx(BEST, rel=0.5)


def test_what_lies_behind_the_explosion_does_not_count() -> None:
    """A collapsed network's loss comes back down to ln K or, by luck, below."""
    losses = falling(explodes=-1.5)
    losses[-6:] = 0.1
    curve = read_probe_curve(Sweep(LRS, losses), 1e-3)
    assert curve.suggested == pytest.approx(BEST, rel=0.3)


def test_a_sweep_that_ends_in_nan_is_read_up_to_there() -> None:
    losses = falling()
    losses[88:] = np.nan
    curve = read_probe_curve(Sweep(LRS, losses, "the loss stopped being a number at lr 1e-01"), 1e-3)
    assert curve.quality == "good"
    assert curve.suggested == pytest.approx(BEST, rel=0.2)
    assert len(curve.points) == 88
    assert curve.reason.endswith("the loss stopped being a number at lr 1e-01")


@pytest.mark.parametrize(
    ("losses", "quality", "reason"),
    [
        (falling(depth=0.03, explodes=1), "weak", "a clear curve"),
        (falling(depth=0.003, explodes=1), "none", "lr_max is too low"),
        (falling(depth=0.003), "none", "no learning rate of the range helps"),
        (0.001 * falling(depth=0), "none", "converged already"),
        (2.3 + np.arange(100) / 50, "none", "rose from the first steps on"),
        (np.full(100, np.nan), "none", "not a finite number from the first step"),
        (np.where(np.arange(100) < 12, 2.3, np.nan), "none", "only 12 finite losses"),
    ],
)
def test_says_how_far_the_curve_can_be_trusted(losses: Floats, quality: str, reason: str) -> None:
    curve = read_probe_curve(Sweep(LRS, losses), 0.123)
    assert curve.quality == quality
    assert reason in curve.reason
    if quality == "none":
        assert curve.suggested == 0.123
        assert curve.steepest is None


def test_the_raw_rule_takes_the_steepest_step() -> None:
    losses = falling() + 0.05 * np.random.default_rng(1).standard_normal(100)
    lrs, raw = LRS.tolist(), losses.tolist()
    expected = lrs[int(np.argmin(np.gradient(raw)))]
    curve = read_raw_curve(Sweep(LRS, losses), 1e-3)
    assert curve.suggested == expected
    assert curve.rule == "chapter"
    assert [point.loss for point in curve.points] == raw


def test_smoothing_is_a_weighted_mean_of_the_neighbours() -> None:
    values = np.random.default_rng(0).standard_normal(60)
    weights = np.exp(-0.5 * (np.arange(60) - 30.0) ** 2 / 4) * (abs(np.arange(60) - 30) <= 6)
    assert gaussian(values)[30] == pytest.approx(np.average(values, weights=weights))
    assert gaussian(np.full(40, 1.5)) == pytest.approx(np.full(40, 1.5))
    assert gaussian(np.arange(40.0))[6:-6] == pytest.approx(np.arange(40.0)[6:-6])
