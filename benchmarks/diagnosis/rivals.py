"""Other tools' rules, written anew from their published definitions, on the very same records.

SageMaker Debugger: the developer guide's "List of Debugger built-in rules", default parameters. AutoTrainer (Zhang et
al., ICSE 2021): the detection part of the paper's artifact with its default parameters (beta 1e-3, 1e-4, 70; gamma 0.7;
zeta 0.03; eta 0.2; delta 0.01; Theta 0.6). Both see what their own hooks would see: losses, accuracies and gradients.
"""

import math
from collections.abc import Callable, Mapping
from itertools import pairwise

from service.diagnosis.record import RunRecord


def sagemaker_overfit(record: RunRecord) -> bool:
    """(mean val loss - mean train loss) / mean train loss > 0.1 at one evaluation (patience 1)."""
    train, val = record.curve("train", "loss"), record.curve("val", "loss")
    return any(v - t > 0.1 * t for t, v in zip(train, val, strict=True) if t > 0)


def sagemaker_loss_not_decreasing(record: RunRecord) -> bool:
    """A step's loss is not below the loss at least 10 steps before; looked at every 10 steps."""
    losses = record.points("train/loss").values[::10]
    return any(not after < before for before, after in pairwise(losses))


def sagemaker_vanishing_gradient(record: RunRecord) -> bool:
    """The mean absolute gradient of a parameter falls below 1e-7.

    The recorded norm bounds that mean from above: it fires only where it surely would.
    """
    norms = (series for name, series in record.series.items() if name.startswith("grad/"))
    return any(value < 1e-7 for series in norms for value in series.finite())


def autotrainer(record: RunRecord) -> bool:
    """Any of its problems: explode, dying ReLU, vanish, slow convergence, oscillation."""
    return bool(autotrainer_problems(record))


def autotrainer_problems(record: RunRecord) -> set[str]:
    """`monitor.determine` at the end of training; accuracies are those of the epochs."""
    train, val = record.curve("train", "accuracy"), record.curve("val", "accuracy")
    losses = record.curve("train", "loss") + record.curve("val", "loss")
    if record.points("train/loss").first_nonfinite() or any(not math.isfinite(x) or x >= 1e5 for x in losses):
        return {"explode"}
    if len(train) < 2:
        return set()
    slow = _largest_gain(train) < 0.01 and _largest_gain(val) < 0.01
    if max(val) < 0.6 or max(train) < 0.6 or slow:
        problems = _gradient_problems(record)
        return problems or ({"not_converge"} if slow else set())
    return {"unstable"} if _oscillates(train) else set()


def _largest_gain(accuracies: list[float]) -> float:
    return max([0.0, *(after - before for before, after in pairwise(accuracies))])


def _gradient_problems(record: RunRecord) -> set[str]:
    norms = list(record.weight_gradients().values())
    if not norms:
        return set()
    for first, last in zip(norms[0].values, norms[-1].values, strict=True):
        ratio = first / last if last else math.inf
        if ratio > 70:
            return {"explode"}
        if ratio < 1e-3 and first < 1e-4:
            return {"vanish"}
    zero = [sum(series.values[i] == 0 for series in norms) / len(norms) for i in range(len(norms[0]))]
    return {"relu"} if zero and max(zero) >= 0.7 else set()


def _oscillates(accuracies: list[float]) -> bool:
    inner = range(1, len(accuracies) - 1)
    peaks = [accuracies[i] for i in inner if accuracies[i] >= max(accuracies[i - 1], accuracies[i + 1])]
    dips = [accuracies[i] for i in inner if accuracies[i] <= min(accuracies[i - 1], accuracies[i + 1])]
    swings = sum(peak - dip >= 0.03 for peak, dip in zip(peaks, dips, strict=False))
    return swings >= 0.2 * len(accuracies)


RIVALS: Mapping[str, Callable[[RunRecord], bool]] = {
    "SageMaker Debugger Overfit": sagemaker_overfit,
    "SageMaker Debugger LossNotDecreasing": sagemaker_loss_not_decreasing,
    "SageMaker Debugger VanishingGradient": sagemaker_vanishing_gradient,
    "SageMaker Debugger, any of the three": lambda record: (
        sagemaker_overfit(record) or sagemaker_loss_not_decreasing(record) or sagemaker_vanishing_gradient(record)
    ),
    "AutoTrainer": autotrainer,
}
