"""Bugs that the product prevents by construction, put into one run from outside: the engine has no switch for them."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from unittest import mock

import torch
from torch import Tensor, nn

from service.specs.train import TrainSpec
from worker.engine.context import RunContext
from worker.engine.data.batches import Batches
from worker.engine.runtime.preserve import PassState
from worker.engine.training import probes
from worker.engine.training.setup import build_run
from worker.engine.training.state import TrainingState

Change = Callable[[TrainingState], None]


class MixesSamples(nn.Module):
    """Adds the batch's mean to every sample."""

    def forward(self, x: Tensor) -> Tensor:
        """Logits that depend on the whole batch."""
        return x + x.mean(0, keepdim=True)


class Detached(nn.Module):
    """Cuts the graph."""

    def forward(self, x: Tensor) -> Tensor:
        """The same numbers without their history."""
        return x.detach()


class Negated(nn.Module):
    """The wrong sign of a loss."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, logits_BK: Tensor, targets: Tensor) -> Tensor:
        """Minus the loss."""
        loss: Tensor = -self.inner(logits_BK, targets)
        return loss


def _use(run: TrainingState, model: nn.Module) -> None:
    run.model = run.optimizer_step.forward = model
    run.before_step = PassState(model, run.precision.device)


def _appended(layer: nn.Module) -> Change:
    return lambda run: _use(run, nn.Sequential(*run.model.children(), layer))


def _detached(run: TrainingState) -> None:
    layers = list(run.model.children())
    _use(run, nn.Sequential(*layers[:-1], Detached(), layers[-1]))


def _never_evaluates(run: TrainingState) -> None:
    setattr(run.model, "eval", lambda: run.model)  # noqa: B010  (a bug that no type checker would let pass)


def _never_zeroes(run: TrainingState) -> None:
    setattr(run.optimizer_step.optimizer, "zero_grad", lambda set_to_none=True: None)  # noqa: B010


def _scaled(factor: float) -> Change:
    @torch.no_grad()
    def change(run: TrainingState) -> None:
        for parameter in run.model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(factor)

    return change


@torch.no_grad()
def _dead(run: TrainingState) -> None:
    layers = [m for m in run.model.modules() if isinstance(m, nn.Linear | nn.Conv2d | nn.BatchNorm1d | nn.BatchNorm2d)]
    for layer in layers[:-1]:
        if layer.bias is not None:
            layer.bias.fill_(-8.0)


def _val_pipeline(gain: float, offset: float) -> Change:
    """Val inputs become gain * normalised + offset."""

    def change(run: TrainingState) -> None:
        assert isinstance(run.splits.train, Batches)
        assert isinstance(run.splits.val, Batches)
        source = run.splits.val.source
        source.scale, source.shift = source.scale * gain, source.shift * gain + offset
        source.normalised = None
        run.splits.probe = probes.build_probe(run.splits.train, run.splits.val, run.spec.seed)

    return change


def _ascends(run: TrainingState) -> None:
    step = run.optimizer_step
    step.criterion = Negated(step.criterion)


INJECTIONS: Mapping[str, Change] = {
    "softmax output": _appended(nn.Softmax(1)),
    "sigmoid output": _appended(nn.Sigmoid()),
    "never eval": _never_evaluates,
    "no zero_grad": _never_zeroes,
    "val not normalised": _val_pipeline(0.3, 1.5),
    "val inverted": _val_pipeline(-1.0, 0.0),
    "tiny weights": _scaled(1e-4),
    "huge weights": _scaled(12.0),
    "dead units": _dead,
    "detached": _detached,
    "mixes samples": _appended(MixesSamples()),
    "ascent": _ascends,
}


@contextmanager
def injected(name: str | None) -> Iterator[None]:
    """Every run that is set up inside the block has the bug; None: none has."""
    if name is None:
        yield
        return

    def build(spec: TrainSpec, context: RunContext) -> TrainingState:
        run = build_run(spec, context)
        INJECTIONS[name](run)
        return run

    with mock.patch("worker.engine.kinds.train.build_run", build):
        yield
