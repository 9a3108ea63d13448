"""The `batch-size` job and `batch_size: "auto"`: the largest batch that trains, the smallest that trains fast."""

import math
from collections.abc import Generator, Iterator

from service.catalog.hyperparameters import BATCH_SIZE, BATCH_SIZES
from service.events import Event, Log, Phase, Progress, Reported, Stopped
from service.reports.names import ReportName
from service.reports.result import BatchSizeReport, BatchSizeRow
from service.specs.batch_size import BatchSizeSpec
from service.specs.optimizer import OptimizerSpec
from service.specs.train import TrainSpec
from service.specs.training import AugmentedPart
from service.states import StopReason
from worker.engine.context import RunContext
from worker.engine.kinds.batch_search import Finder, usable
from worker.engine.training import checkpoints
from worker.engine.training.optimizers import base_lr
from worker.engine.training.setup import open_dataset


def run_batch_size(spec: BatchSizeSpec, context: RunContext) -> Iterator[Event]:
    """Yields a line for each size and reports `result`; raises OutOfMemoryError when not even one sample trains."""
    yield Phase("loading")
    finder = Finder(training_spec(spec), context, spec.memory_limit_bytes, _samples(context))
    candidates = usable(spec.candidates, finder.samples)
    yield Phase("measuring")
    yield from finder.downward(candidates, all_of_them=True)
    if spec.search_up and not finder.stopped:
        yield from finder.upward(candidates)
    if finder.stopped is None:
        yield Reported(ReportName.RESULT, _report(spec, finder))
        yield Progress(1.0, len(finder.rows), len(finder.rows))
    yield Stopped(finder.stopped or StopReason.COMPLETED)


def choose_batch_size(spec: TrainSpec, context: RunContext) -> Generator[Event, None, TrainSpec]:
    """A `train` spec with its batch size as a number: the checkpoint's, or the largest of the usual ones that trains.

    Speed does not count here: it is never the same twice, and one spec must give one training. Returns the spec
    unchanged when the run was asked to stop.
    """
    if context.resume_from is not None:
        return spec.model_copy(update={"batch_size": int(checkpoints.load(context.resume_from)["batch_size"])})
    yield Phase("searching")
    finder = Finder(spec, context, None, _samples(context))
    yield from finder.downward(usable(BATCH_SIZES, finder.samples, sensible=True), all_of_them=False)
    if finder.stopped:
        return spec
    size, lr = finder.largest, base_lr(spec.optimizer)
    scaled, rule = scaled_lr(spec.optimizer, BATCH_SIZE, size)
    suited = f"a lr of {lr:.3g} that suited {BATCH_SIZE} scales to {scaled:.3g} ({rule})"
    yield Log(f"batch_size auto: {size}" + (f"; {suited}" if size != BATCH_SIZE else ""))
    return spec.model_copy(update={"batch_size": size})


def training_spec(part: AugmentedPart) -> TrainSpec:
    """The training that a `batch-size` spec asks about, without a feature cache, which takes the most memory."""
    shared = {name: getattr(part, name) for name in AugmentedPart.model_fields}
    if getattr(part.network, "cache_frozen", False):
        shared["model"] = part.network.model_copy(update={"cache_frozen": False})
    return TrainSpec(kind="train", **shared)


def scaled_lr(optimizer: OptimizerSpec, old: int, new: int) -> tuple[float, str]:
    """The learning rate for another batch size: linear for SGD, square root for Adam (arXiv 2205.10287)."""
    if optimizer.name == "sgd":
        return base_lr(optimizer) * new / old, "linear"
    return base_lr(optimizer) * math.sqrt(new / old), "square-root"


def _samples(context: RunContext) -> int:
    return len(open_dataset(context).indices("train"))


def _report(spec: BatchSizeSpec, finder: Finder) -> BatchSizeReport:
    chosen = finder.recommended()
    lr, rule = scaled_lr(spec.optimizer, spec.batch_size, chosen.batch_size)
    return BatchSizeReport(
        table=[
            BatchSizeRow(
                batch_size=row.batch_size,
                fits=row.fits,
                peak_memory_bytes=row.memory_bytes,
                samples_per_second=row.samples_per_second,
                reason=row.reason,
            )
            for _, row in sorted(finder.rows.items())
        ],
        recommended=chosen.batch_size,
        largest=finder.largest,
        lr=lr,
        lr_rule="linear" if rule == "linear" else "square-root",
        reason=(
            f"{chosen.batch_size} is {finder.why(chosen)}; it leaves "
            f"{math.ceil(finder.samples / chosen.batch_size)} steps an epoch; the lr {base_lr(spec.optimizer):.3g} of "
            f"batch size {spec.batch_size} is scaled to it ({rule}), with 5 % of the steps as warmup; the largest size "
            f"that trained is {finder.largest}{finder.note}"
        ),
    )
