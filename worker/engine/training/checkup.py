"""The check-up before the first step: model, first batch, forward pass, gradients."""

import math
import statistics
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from service.diagnosis.thresholds import DEAD_SHARE
from service.events import Event, Log, Phase, Reported
from service.reports.names import ReportName
from service.reports.result import Check, CheckupReport
from worker.engine.data.batches import Batch
from worker.engine.models import count_parameters
from worker.engine.runtime import preserve
from worker.engine.runtime.precision import Precision
from worker.engine.training.evaluate import evaluation_mode
from worker.engine.training.probes import dead_units, is_probability
from worker.engine.training.state import TrainingState

LEAST_GAIN = 0.01
"""He's initialisation has 1.4, Xavier's 1, torch's own 0.6, a standard deviation of 0.02 some 0.1 to 0.6."""
LOSS_TOLERANCE = 0.5
"""The loss at initialisation may lie this share away from ln(classes)."""


def check_up_run(run: TrainingState) -> Iterator[Event]:
    """Looks at the model and its first batch before the first step."""
    yield Phase("checkup")
    batch = next(iter(run.splits.train.epoch(1)))
    report = check_up(run.model, batch, len(run.meta.classes), run.precision)
    sizes, counts = report.parameters, run.meta.counts
    yield Log(
        f"{sizes.trainable:,} of {sizes.total:,} parameters train on {counts.get('train', 0):,} samples, "
        f"{len(run.splits.train):,} batches of {run.splits.batch_size} an epoch, on {run.precision.device}"
    )
    for note in run.notes:
        yield Log(note)
    yield Reported(ReportName.CHECKUP, report)
    for check in report.checks:
        if not check.passed:
            yield Log(f"check-up: {check.name}: {check.detail}", "warning")


def check_up(model: nn.Module, batch: Batch, classes: int, precision: Precision) -> CheckupReport:
    """Looks at everything and changes nothing: gradients, buffers, modes and generators are as before afterwards."""
    with preserve.passes(model, precision.device):
        with evaluation_mode(model), precision.autocast():
            with dead_units(model) as dead:
                logits_BK = model(batch.inputs).float()
            leak = _leak(model, batch.inputs)
        loss, without_gradient = _first_step(model, batch, precision)
        weakest, weakest_layer = _weakest_gradient(model)
    return CheckupReport(
        parameters=count_parameters(model),
        checks=[
            *_batch_checks(batch, classes),
            *_output_checks(logits_BK, loss, classes),
            _weights_check(model),
            _scale_check(model),
            Check(
                name="gradients",
                passed=not without_gradient,
                detail="every trainable parameter receives a gradient"
                if not without_gradient
                else "no gradient reaches " + ", ".join(without_gradient[:10]),
            ),
            Check(
                name="no-cross-sample-leak",
                passed=not leak,
                detail="a sample's output depends on that sample alone"
                if not leak
                else "changing one sample changes another's output: a layer mixes samples",
            ),
            _dead_check(dead.largest_share or 0.0),
        ],
        statistics={
            "classes": float(classes),
            "device": batch.inputs.device.type,
            "gpu_available": float(torch.cuda.is_available()),
            "input_shape": list(batch.inputs.shape),
            "input_dtype": str(batch.inputs.dtype).removeprefix("torch."),
            "input_min": float(batch.inputs.min()),
            "input_max": float(batch.inputs.max()),
            "input_mean": _per_channel(batch.inputs, "mean"),
            "input_std": _per_channel(batch.inputs, "std"),
            "input_samples": float(len(batch.labels_B)),
            "output_shape": list(logits_BK.shape),
            "output_min": float(logits_BK.min()),
            "output_max": float(logits_BK.max()),
            "initial_loss": loss,
            "guessing_loss": math.log(classes),
            "weakest_gradient": weakest,
            "weakest_gradient_of": weakest_layer,
        },
    )


def _per_channel(inputs: Tensor, statistic: str) -> list[float]:
    flat_CX = inputs.transpose(0, 1).flatten(1) if inputs.ndim > 2 else inputs.flatten()[None]
    values: list[float] = (flat_CX.mean(1) if statistic == "mean" else flat_CX.std(1, correction=0)).tolist()
    return values


def _batch_checks(batch: Batch, classes: int) -> list[Check]:
    low, high = int(batch.labels_B.min()), int(batch.labels_B.max())
    finite = bool(torch.isfinite(batch.inputs).all())
    return [
        Check(
            name="labels",
            passed=low >= 0 and high < classes and batch.labels_B.dtype is torch.int64,
            detail=f"labels from {low} to {high} for {classes} classes, dtype {batch.labels_B.dtype}",
        ),
        Check(
            name="inputs",
            passed=finite and batch.inputs.dtype is torch.float32,
            detail=f"{'finite' if finite else 'NOT finite'}, dtype {batch.inputs.dtype}, "
            f"range {float(batch.inputs.min()):.3g} to {float(batch.inputs.max()):.3g}",
        ),
        Check(
            name="one-device",
            passed=batch.inputs.device == batch.labels_B.device,
            detail=f"inputs on {batch.inputs.device}, labels on {batch.labels_B.device}",
        ),
    ]


def _output_checks(logits_BK: Tensor, loss: float, classes: int) -> list[Check]:
    expected = math.log(classes)
    near = math.isfinite(loss) and abs(loss - expected) <= LOSS_TOLERANCE * expected
    return [
        Check(
            name="output-shape",
            passed=logits_BK.shape[1] == classes,
            detail=f"{logits_BK.shape[1]} outputs for {classes} classes",
        ),
        Check(
            name="logits",
            passed=not is_probability(logits_BK),
            detail=f"outputs from {float(logits_BK.min()):.3g} to {float(logits_BK.max()):.3g}",
        ),
        Check(
            name="initial-loss",
            passed=near,
            detail=f"loss {loss:.3f} before training; guessing evenly over {classes} classes gives {expected:.3f}",
        ),
    ]


def _weights_check(model: nn.Module) -> Check:
    bad = [name for name, parameter in model.named_parameters() if not bool(torch.isfinite(parameter).all())]
    return Check(
        name="finite-weights",
        passed=not bad,
        detail="every weight is a finite number" if not bad else "not finite: " + ", ".join(bad[:10]),
    )


def _scale_check(model: nn.Module) -> Check:
    """Whether a typical layer passes a signal on: each of its outputs sums `fan_in` products with its weights."""
    matrices = [
        parameter.detach() for parameter in model.parameters() if parameter.requires_grad and parameter.ndim > 1
    ]
    gains = [float(weight.float().square().mean().sqrt()) * weight[0].numel() ** 0.5 for weight in matrices]
    gain = statistics.median(gains) if gains else 1.0
    return Check(
        name="weights-scale",
        passed=not gain < LEAST_GAIN,
        detail=f"a typical layer multiplies the size of its input by about {gain:.2g}"
        + ("" if not gain < LEAST_GAIN else ": its weights start near zero, so hardly any signal gets through"),
    )


def _first_step(model: nn.Module, batch: Batch, precision: Precision) -> tuple[float, list[str]]:
    """The loss that the first step will see (in eval mode a fresh BatchNorm does not normalise yet), and the names of
    trainable parameters that its backward pass does not reach.
    """
    with precision.autocast():
        loss = nn.functional.cross_entropy(model(batch.inputs), batch.labels_B)
    torch.autograd.backward(loss)
    unreached = [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
    return float(loss.detach()), unreached


def _weakest_gradient(model: nn.Module) -> tuple[float, str]:
    """Least norm of the gradient of a weight matrix, and its name; a bias before BatchNorm rightly gets none."""
    norms = [(float(p.grad.norm()), name) for name, p in model.named_parameters() if p.grad is not None and p.ndim > 1]
    return min(norms, default=(math.inf, ""))


def _leak(model: nn.Module, inputs: Tensor) -> bool:
    """Whether, in eval mode, the first sample's output changes when the last one does."""
    if len(inputs) < 2:
        return False
    changed = inputs.clone()
    changed[-1] = changed[-1] + 1.0
    pair, other = model(inputs[[0, -1]])[0], model(changed[[0, -1]])[0]
    return not torch.allclose(pair, other, rtol=1e-3, atol=1e-4)


def _dead_check(worst: float) -> Check:
    return Check(
        name="dead-units",
        passed=worst <= DEAD_SHARE,
        detail=f"at most {worst:.0%} of a layer's ReLU units are zero for the whole batch",
    )
