"""The `lr-find` job: Smith's learning-rate range test (arXiv 1506.01186) with a fixed probe batch."""

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from service.events import Event, Phase, Progress, Reported, StepRecord, Stopped
from service.reports.result import LrCurve
from service.specs.lr_find import LrFindSpec
from service.states import StopReason
from worker.engine.context import RunContext
from worker.engine.data.batches import Batch, Batches
from worker.engine.kinds.lr_curve import Sweep, read_chapter_curve, read_probe_curve
from worker.engine.runtime import precision
from worker.engine.runtime.memory import is_out_of_memory, out_of_memory
from worker.engine.training.checkup import check_up
from worker.engine.training.optimizers import base_lr, build_optimizer
from worker.engine.training.preserve import untouched
from worker.engine.training.setup import build_criterion, build_model, open_dataset, start, train_batches

PROBE_SAMPLES = 64
PROBE_EVERY, PROBE_EVERY_WHILE_FLAT = 4, 8
"""Steps between two looks at the probe; each look costs a third of a step. Against a look after every step, on 72
sweeps (8 pairs of net and data, 3 optimizers, 3 seeds) the suggestion moved by 23 % on average, by over 40 % in one of
twelve and tenfold in one; benchmarks/results/lr_find.md is measured with these numbers.
"""
FLAT = 0.01
"""The curve is flat until the loss has changed by this share of its first value."""


def run_lr_find(spec: LrFindSpec, context: RunContext) -> Iterator[Event]:
    """Yields the sweep's steps and reports `lr-curve`; model and optimizer are as before afterwards."""
    yield Phase("loading")
    start(spec, context)
    dataset = open_dataset(context)
    where = precision.choose(spec, context.device)
    batches = train_batches(spec, dataset, where.device, min(spec.batch_size, len(dataset.indices("train"))))
    model = build_model(spec, dataset, where, context)
    optimizer = build_optimizer(model, spec.optimizer)
    criterion = build_criterion(spec.loss, batches.labels_N, len(dataset.meta.classes))
    yield Phase("checkup")
    yield Reported("checkup", check_up(model, next(batches.epoch(1)), len(dataset.meta.classes), where))
    sweeper = Sweeper(spec, model, optimizer, criterion, batches, where)
    yield Phase("training")
    try:
        with untouched(model, optimizer):
            yield from _watched(sweeper, context)
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise out_of_memory(spec.batch_size) from error
    if sweeper.stopped is None:
        yield Reported("lr-curve", sweeper.read())
        yield Reported("result", sweeper.read())
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

    def __init__(
        self,
        spec: LrFindSpec,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        criterion: nn.CrossEntropyLoss,
        batches: Batches,
        where: precision.Precision,
    ) -> None:
        self.spec, self.model, self.optimizer, self.criterion = spec, model, optimizer, criterion
        self.batches, self.where = batches, where
        self.scaler = where.scaler()
        self.lrs: list[float] = []
        self.measured: dict[int, float] = {}
        """The judged loss after a step, by the step's place in `lrs`."""
        self.ended: str | None = None
        self.stopped: StopReason | None = None
        base = base_lr(spec.optimizer)
        self._ratios = [group["base_lr"] / base for group in optimizer.param_groups]
        self._probe = _Probe(model, batches, where, spec.seed) if spec.rule == "probe" else None
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
        """The chapter's rule looks at each training loss, ours at the probe now and then and at the end."""
        if self._probe is None:
            self.measured[step] = train_loss
            return train_loss
        is_last = step == self.spec.num_steps - 1 or train_loss > self.spec.divergence_factor * self.measured.get(
            0, math.inf
        )
        if step < self._due and not is_last and math.isfinite(train_loss):
            return None
        loss = self._probe.loss(self.criterion)
        self.measured[step] = loss
        is_flat = abs(loss - self.measured[0]) <= FLAT * self.measured[0]
        self._due = step + (PROBE_EVERY_WHILE_FLAT if is_flat else PROBE_EVERY)
        return loss

    def _step(self, batch: Batch, lr: float) -> float:
        for group, ratio in zip(self.optimizer.param_groups, self._ratios, strict=True):
            group["lr"] = lr * ratio
        self.optimizer.zero_grad(set_to_none=True)
        with self.where.autocast():
            targets = batch.labels_B if batch.targets_BK is None else batch.targets_BK
            loss = self.criterion(self.model(batch.inputs), targets)
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.optimizer)
        if self.spec.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.spec.clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return float(loss.detach())

    def read(self) -> LrCurve:
        """The suggestion and how far to trust it."""
        steps, losses = list(self.measured), list(self.measured.values())
        sweep = Sweep(np.array(self.lrs), np.interp(range(len(self.lrs)), steps, losses), self.ended)
        fallback = base_lr(self.spec.optimizer)
        if self.spec.rule == "chapter":
            return read_chapter_curve(sweep, fallback)
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
    """The loss of fixed samples in train mode: no gradient, the same random numbers each time, buffers brought back."""

    def __init__(self, model: nn.Module, batches: Batches, where: precision.Precision, seed: int) -> None:
        self.model, self.where, self.seed = model, where, seed
        chosen = np.sort(np.random.default_rng(seed).permutation(batches.samples)[:PROBE_SAMPLES])
        positions_B = torch.from_numpy(chosen).to(batches.device)
        self.inputs, self.labels_B = batches.source.plain(positions_B), batches.labels_N[positions_B]
        self.buffers = [buffer for buffer in model.buffers() if buffer is not None]

    @torch.no_grad()
    def loss(self, criterion: nn.CrossEntropyLoss) -> float:
        copies: list[Tensor] = [buffer.clone() for buffer in self.buffers]
        devices = [self.where.device] if self.where.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices), self.where.autocast():
            torch.manual_seed(self.seed)
            loss = float(criterion(self.model(self.inputs), self.labels_B))
        for buffer, before in zip(self.buffers, copies, strict=True):
            buffer.copy_(before)
        return loss
