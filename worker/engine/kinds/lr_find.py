"""The `lr-find` job: Smith's learning-rate range test (arXiv 1506.01186) with a fixed probe batch."""

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import nn

from service.events import Event, Phase, Progress, Reported, StepRecord, Stopped
from service.reports.names import ReportName
from service.reports.result import LrCurve
from service.specs.lr_find import LrFindSpec
from service.states import StopReason
from worker.engine.context import RunContext
from worker.engine.data.batches import Batch, Batches
from worker.engine.kinds.lr_curve import Sweep, read_probe_curve, read_raw_curve
from worker.engine.runtime import preserve
from worker.engine.runtime.memory import is_out_of_memory, out_of_memory
from worker.engine.runtime.precision import Precision
from worker.engine.runtime.preserve import PassState
from worker.engine.training.checkup import check_up
from worker.engine.training.criterion import build_criterion
from worker.engine.training.optimizer_step import OptimizerStep
from worker.engine.training.optimizers import base_lr, build_optimizer
from worker.engine.training.setup import build_model, open_dataset, start, train_batches

PROBE_SAMPLES = 64
PROBE_EVERY, PROBE_EVERY_WHILE_FLAT = 4, 8
"""Steps between two looks at the probe; each look costs a third of a step. Against a look after every step, on 72
sweeps (8 pairs of net and data, 3 optimizers, 3 seeds) the suggestion moved by 23 % on average, by over 40 % in one of
twelve and tenfold in one; benchmarks/results/lr_find.md is measured with these numbers.
"""
FLAT = 0.01
"""The curve is flat until the loss has changed by this share of its first value."""


def run_lr_find(spec: LrFindSpec, context: RunContext) -> Iterator[Event]:
    """Yields the sweep's steps and reports `result`, an LrCurve; model and optimizer are as before afterwards."""
    yield Phase("loading")
    start(spec, context)
    dataset = open_dataset(context)
    precision = Precision.of(spec, context.device)
    batches = train_batches(spec, dataset, precision.device, min(spec.batch_size, len(dataset.indices("train"))))
    model = build_model(spec, dataset, precision, context)
    optimizer = build_optimizer(model, spec.optimizer)
    criterion = build_criterion(spec.loss, batches.labels_N, len(dataset.meta.classes))
    yield Phase("checkup")
    yield Reported(ReportName.CHECKUP, check_up(model, next(batches.epoch(1)), len(dataset.meta.classes), precision))
    step = OptimizerStep(model, criterion, optimizer, precision, spec.clip_norm, model.parameters())
    sweeper = Sweeper(spec, model, step, batches)
    yield Phase("training")
    try:
        with preserve.everything(model, optimizer):
            yield from _watched(sweeper, context)
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise out_of_memory(spec.batch_size) from error
    if sweeper.stopped is None:
        yield Reported(ReportName.RESULT, sweeper.read())
    yield Stopped(sweeper.stopped or StopReason.COMPLETED)


def _watched(sweeper: "Sweeper", context: RunContext) -> Iterator[Event]:
    for step, (lr, train_loss, loss) in enumerate(sweeper, start=1):
        values = {"train/loss": train_loss, "lr/group0": lr}
        yield StepRecord(step, 1, values if loss is None else values | {"probe/loss": loss})
        yield Progress(step / sweeper.spec.num_steps, step, sweeper.spec.num_steps)
        sweeper.stopped = context.stop()
        if sweeper.stopped:
            return


class Sweeper:
    """One sweep: iterating it trains, `read` says what the curve means."""

    def __init__(self, spec: LrFindSpec, model: nn.Module, optimizer_step: OptimizerStep, batches: Batches) -> None:
        self.spec, self.model, self.optimizer_step, self.batches = spec, model, optimizer_step, batches
        self.lrs: list[float] = []
        self.measured: dict[int, float] = {}
        """The judged loss after a step, by the step's place in `lrs`."""
        self.ended: str | None = None
        self.stopped: StopReason | None = None
        base = base_lr(spec.optimizer)
        self._ratios = [group["base_lr"] / base for group in optimizer_step.optimizer.param_groups]
        self._probe = _Probe(model, batches, optimizer_step, spec.seed) if spec.rule == "probe" else None
        self._due = 0

    def __iter__(self) -> Iterator[tuple[float, float, float | None]]:
        """(lr, training loss, judged loss) of each step; the judged loss is the probe's after the step, None where it
        was not looked at.
        """
        spec, factor = self.spec, (self.spec.lr_max / self.spec.lr_min) ** (1 / (self.spec.num_steps - 1))
        self.model.train()
        for step, batch in zip(range(spec.num_steps), cycle(self.batches), strict=False):
            lr = spec.lr_min * factor**step
            train_loss = self._step(batch, lr)
            self.lrs.append(lr)
            loss = self._judge(step, train_loss)
            yield lr, train_loss, loss
            if not math.isfinite(train_loss) or (loss is not None and not math.isfinite(loss)):
                self.ended = f"the loss stopped being a number at lr {lr:.2e}"
                return
            if loss is not None and loss > spec.divergence_factor * self.measured[0]:
                self.ended = f"stopped at lr {lr:.2e}, where the loss had grown {spec.divergence_factor:g}-fold"
                return

    def _judge(self, step: int, train_loss: float) -> float | None:
        """The loss that the curve is read from: the step's own, or the probe's now and then and at the end."""
        if self._probe is None:
            self.measured[step] = train_loss
            return train_loss
        is_last = step == self.spec.num_steps - 1 or train_loss > self.spec.divergence_factor * self.measured.get(
            0, math.inf
        )
        if step < self._due and not is_last and math.isfinite(train_loss):
            return None
        loss = self._probe.loss()
        self.measured[step] = loss
        is_flat = abs(loss - self.measured[0]) <= FLAT * self.measured[0]
        self._due = step + (PROBE_EVERY_WHILE_FLAT if is_flat else PROBE_EVERY)
        return loss

    def _step(self, batch: Batch, lr: float) -> float:
        for group, ratio in zip(self.optimizer_step.optimizer.param_groups, self._ratios, strict=True):
            group["lr"] = lr * ratio
        loss = self.optimizer_step.backward([batch]).loss
        self.optimizer_step.update()
        return loss

    def read(self) -> LrCurve:
        """The suggestion and how far to trust it."""
        steps, losses = list(self.measured), list(self.measured.values())
        sweep = Sweep(np.array(self.lrs), np.interp(range(len(self.lrs)), steps, losses), self.ended, frozenset(steps))
        fallback = base_lr(self.spec.optimizer)
        if self.spec.rule == "chapter":
            return read_raw_curve(sweep, fallback)
        curve = read_probe_curve(sweep, fallback)
        return curve.model_copy(update={"param_groups": len(self._ratios)})


def cycle(batches: Batches) -> Iterator[Batch]:
    """Whole batches, epoch after epoch: the data may be shorter than the sweep, and a ragged batch would be a spike."""
    epoch = 0
    while True:
        epoch += 1
        for batch in batches.epoch(epoch):
            if len(batch.labels_B) == batches.batch_size:
                yield batch


class _Probe:
    """The loss of fixed samples in train mode, with the same random numbers each time; it leaves no trace."""

    def __init__(self, model: nn.Module, batches: Batches, optimizer_step: OptimizerStep, seed: int) -> None:
        self.model, self.optimizer_step, self.seed = model, optimizer_step, seed
        chosen = np.sort(np.random.default_rng(seed).permutation(batches.samples)[:PROBE_SAMPLES])
        positions_B = torch.from_numpy(chosen).to(batches.device)
        self.inputs, self.labels_B = batches.source.read(positions_B), batches.labels_N[positions_B]
        self.state = PassState(model, batches.device)

    @torch.no_grad()
    def loss(self) -> float:
        self.state.save()
        torch.manual_seed(self.seed)
        with self.optimizer_step.precision.autocast():
            loss = float(self.optimizer_step.criterion(self.model(self.inputs), self.labels_B))
        self.state.restore()
        return loss
