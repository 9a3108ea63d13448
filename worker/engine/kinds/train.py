"""The `train` job: set up, check up, train, test."""

from collections.abc import Iterator

import torch
from torch._dynamo.exc import TorchDynamoException

from service.errors import UnfitSpecError
from service.events import Event, Log, Phase, Resumed, Stopped
from service.specs.train import TrainSpec
from service.states import StopReason
from worker.engine.context import RunContext
from worker.engine.kinds.batch_size import choose_batch_size
from worker.engine.runtime import seeding
from worker.engine.runtime.memory import is_out_of_memory, out_of_memory
from worker.engine.training import checkpoints, feature_cache, loop, run_files
from worker.engine.training.checkup import check_up_run
from worker.engine.training.final_reports import CONCLUSIVE, conclude
from worker.engine.training.setup import build_run, fixed_batch_size
from worker.engine.training.state import TrainingState


def run_train(spec: TrainSpec, context: RunContext) -> Iterator[Event]:
    """Trains by `spec` on `context.dataset`; yields events and ends with `Stopped`.

    Raises DataError when spec and data do not fit, DivergedError when the loss stops being a number, OutOfMemoryError
    when the batch does not fit into memory.
    """
    try:
        yield Phase("loading")
        if spec.batch_size == "auto":
            spec = yield from choose_batch_size(spec, context)
        if spec.batch_size == "auto":
            yield Stopped(context.stop() or StopReason.CANCELLED)
            return
        run = build_run(spec, context)
        yield from check_up_run(run)
        yield from feature_cache.cache(run)
        if run.stop_reason is not None:
            yield Stopped(run.stop_reason)
            return
        yield from _resume(run)
        yield Phase("training")
        yield from loop.train_epochs(run)
        yield from run_files.save_state(run)
        if run.stop_reason in CONCLUSIVE and run.best.weights:
            yield from conclude(run)
        yield Stopped(run.stop_reason or StopReason.COMPLETED)
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if isinstance(error, TorchDynamoException):
            raise UnfitSpecError(f"torch.compile failed: {str(error).strip()[:300]}; set `compile` to false") from error
        if not is_out_of_memory(error):
            raise
        raise out_of_memory(fixed_batch_size(spec.batch_size)) from error


def _resume(run: TrainingState) -> Iterator[Event]:
    """Goes on from the last checkpoint; otherwise the generators start anew, whatever set-up drew from them."""
    if run.context.resume_from is None:
        seeding.seed_everything(run.spec.seed, deterministic=run.spec.deterministic)
        return
    run.restore(checkpoints.load(run.context.resume_from))
    yield Log(f"resumed from the checkpoint of step {run.step} (epoch {run.epoch})")
    if not run.resume_exact:
        yield Log("the resume is approximate: other threads or another device than before", "warning")
    yield Resumed(run.step, run.epoch, run.resume_exact)
