"""Some real steps of one batch size, in a process of their own: what fits, how much memory, how fast.

A process of its own, because the traceback of a failed allocation pins the tensors that did not fit, because peaks are
counted per process, and because the kernel ends a process that takes too much.
"""

import multiprocessing
import resource
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, ForkServerProcess

import torch

from service.errors import StalledError
from service.specs.train import TrainSpec
from worker.engine.context import RunContext
from worker.engine.data.batches import Batch, BatchSource
from worker.engine.runtime.memory import free_memory, is_out_of_memory, status_bytes
from worker.engine.runtime.precision import Precision
from worker.engine.training.evaluate import evaluation_mode
from worker.engine.training.setup import build_run
from worker.engine.training.state import TrainingState
from worker.engine.training.train_step import take_step

CONTEXT: ForkServerContext = multiprocessing.get_context("forkserver")
WARM_STEPS = 3
"""Steps before the clock starts: the first ones of a process allocate, choose kernels and fill caches."""
LEAST_STEPS, MOST_STEPS, LEAST_SECONDS = 3, 30, 0.3
"""Timed steps: at least three full ones, more while they are short, or their time would be noise."""
POLL_SECONDS = 0.05
ANSWER_SECONDS = 900.0
"""A measuring process that has not answered by then hangs: set-up and a few steps of any size are over sooner."""


@dataclass(frozen=True)
class Measurement:
    """What became of one batch size; `memory_bytes` is what the training took on top of the bare process."""

    batch_size: int
    fits: bool
    memory_bytes: int | None = None
    samples_per_second: float | None = None
    reason: str | None = None
    error: str | None = None
    """A failure that has nothing to do with memory."""


def measure(
    spec: TrainSpec, context: RunContext, batch_size: int, limit_bytes: int | None, stop: Callable[[], object]
) -> Measurement | None:
    """Trains some steps with `batch_size` in a new process that may take `limit_bytes`; None when `stop` had a reason.

    A process that dies without a word did not fit: that is how too much memory ends where allocations never fail.
    Raises StalledError when it neither answers nor dies.
    """
    fixed = spec.model_copy(update={"batch_size": batch_size})
    receiver, sender = CONTEXT.Pipe(duplex=False)
    silent = replace(context, stop=_go_on, resume_from=None)
    CONTEXT.set_forkserver_preload(["worker.engine.preload"])
    process = CONTEXT.Process(target=_answer, args=(sender, fixed, silent, limit_bytes), daemon=True)
    process.start()
    sender.close()
    last = time.monotonic() + ANSWER_SECONDS
    try:
        while not receiver.poll(POLL_SECONDS):
            if stop():
                return None
            if time.monotonic() > last:
                raise StalledError(f"the process that measures batch size {batch_size} does not answer")
        measurement: Measurement = receiver.recv()
        return measurement
    except EOFError:
        return Measurement(batch_size, fits=False, reason=_death(process))
    finally:
        process.kill()
        process.join()
        process.close()
        receiver.close()


def _go_on() -> None:
    return None


def _death(process: ForkServerProcess) -> str:
    process.join(5)
    code = process.exitcode
    how = f"signal {signal.Signals(-code).name}" if code is not None and code < 0 else f"exit code {code}"
    return f"the measuring process died ({how}), as it does when memory runs out"


def _answer(sender: Connection, spec: TrainSpec, context: RunContext, limit_bytes: int | None) -> None:
    """Entry point of the measuring process."""
    size = spec.batch_size
    assert isinstance(size, int)
    try:
        _limit(Precision.of(spec, context.device).device, limit_bytes)
        sender.send(_steps(spec, context, size))
    except Exception as error:  # noqa: BLE001  (the last resort of a process: whatever it was is told, then it ends)
        if is_out_of_memory(error):
            sender.send(Measurement(size, fits=False, reason="out of memory"))
        else:
            sender.send(Measurement(size, fits=False, error=f"{type(error).__name__}: {error}"))


def _limit(device: torch.device, limit_bytes: int | None) -> None:
    """Bounds what is allocated on a GPU, or what the process allocates to what it has now and `limit_bytes` more."""
    if limit_bytes is None:
        return
    if device.type == "cuda":
        _, whole = torch.cuda.mem_get_info(device)
        torch.cuda.set_per_process_memory_fraction(min(limit_bytes / whole, 1.0), device)
        return
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    soft = status_bytes("VmData") + limit_bytes
    if hard != resource.RLIM_INFINITY:
        soft = min(soft, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _steps(spec: TrainSpec, context: RunContext, size: int) -> Measurement:
    """Set-up, warm steps (the first allocates everything, Adam's state too), timed steps, one evaluation batch."""
    resident = status_bytes("VmRSS")
    run = build_run(spec, context)
    run.model.train()
    groups = _groups(run.splits.train, spec.accumulate)
    for _ in range(WARM_STEPS):
        take_step(run, next(groups))
    _finish(run.precision.device)
    steps, samples, started = 0, 0, time.perf_counter()
    while steps < LEAST_STEPS or (steps < MOST_STEPS and time.perf_counter() - started < LEAST_SECONDS):
        samples += take_step(run, next(groups)).seen.samples
        steps += 1
    _finish(run.precision.device)
    seconds = time.perf_counter() - started
    _evaluate(run)
    return Measurement(
        size,
        fits=True,
        memory_bytes=_taken(run.precision.device, resident),
        samples_per_second=samples / seconds,
    )


def _groups(source: BatchSource, size: int) -> Iterator[list[Batch]]:
    """Micro-batches of one step, epoch after epoch."""

    def endless() -> Iterator[Batch]:
        epoch = 0
        while True:
            epoch += 1
            yield from source.epoch(epoch)

    batches = endless()
    while True:
        yield list(islice(batches, size))


def _evaluate(run: TrainingState) -> None:
    with evaluation_mode(run.model), run.precision.autocast():
        for batch in islice(run.splits.val.epoch(1), 1):
            run.model(batch.inputs)
    _finish(run.precision.device)


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _taken(device: torch.device, resident: int) -> int:
    """Peak of the reserved memory on a GPU; on a CPU the peak of the resident memory above where it started."""
    if device.type == "cuda":
        return torch.cuda.max_memory_reserved(device)
    return max(status_bytes("VmHWM") - resident, 0)


def available(device: torch.device, limit_bytes: int | None) -> int:
    """Bytes that a training may take on the device."""
    free = free_memory(device)
    return free if limit_bytes is None else min(free, limit_bytes)
