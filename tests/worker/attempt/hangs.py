"""Faults for one training process: it hangs at a step, in Python or behind a thread that reads its batches."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from optuna.trial import Trial

from service.store.attempts import Claim
from service.store.session import Store
from worker.attempt import supervisor
from worker.attempt.inputs import Inputs, gather
from worker.engine.data.batches import Batch, Batches, prefetch
from worker.engine.training import loop, train_step
from worker.engine.tune.study import Study
from worker.importing import import_job

STEP_SECONDS = 0.1
"""A step of the process that will hang takes longer than usual, so that its pace is known before."""


@dataclass(frozen=True)
class Hang:
    """Takes the place of a callable of the context; it is set up when the training process unpickles it."""

    set_up: Callable[[int], None]
    step: int

    def __call__(self, number: int) -> Path | None:
        return None

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self.set_up(self.step)


def loop_forever_in_step(step: int) -> None:
    """The process computes on and on."""
    take_step = train_step.take_step

    def slow_step(*arguments: object) -> object:
        run = arguments[0]
        while getattr(run, "step", 0) >= step:
            pass
        time.sleep(STEP_SECONDS)
        return take_step(*arguments)  # type: ignore[arg-type]

    loop.__dict__["take_step"] = slow_step


def deadlock_in_loader(step: int) -> None:
    """The thread that reads the batches waits for a lock that it holds itself."""
    lock, read = threading.Lock(), 0

    def batches_then_deadlock(batches: Iterator[Batch]) -> Iterator[Batch]:
        nonlocal read
        for batch in batches:
            read += 1
            if read > step:
                with lock, lock:
                    pass
            time.sleep(STEP_SECONDS)
            yield batch

    epoch = Batches.epoch

    def epoch_from_a_thread(self: Batches, number: int, start_batch: int = 0) -> Iterator[Batch]:
        batches = epoch(self, number, start_batch)
        return prefetch(batches_then_deadlock(batches)) if self.shuffle else batches

    Batches.epoch = epoch_from_a_thread  # type: ignore[method-assign]


def loop_forever_in_evaluation(batches: int) -> None:
    """The first evaluation never gets its batches."""
    epoch = Batches.epoch

    def endless_evaluation(self: Batches, number: int, start_batch: int = 0) -> Iterator[Batch]:
        while not self.shuffle and number >= batches:
            pass
        return epoch(self, number, start_batch)

    Batches.epoch = endless_evaluation  # type: ignore[method-assign]


def loop_forever_in_trial(number: int) -> None:
    """The trial of this number hangs after its first epoch."""
    report = Study.report

    def endless_report(self: Study, trial: Trial, value: float, epoch: int) -> None:
        while trial.number >= number:
            pass
        report(self, trial, value, epoch)

    Study.report = endless_report  # type: ignore[method-assign]


def loop_forever_in_import(_: int) -> None:
    """The import decodes one file for ever."""

    def endless_import(*_: object) -> None:
        while True:
            pass

    import_job.__dict__["run_import"] = endless_import


def hang_once(monkeypatch: pytest.MonkeyPatch, set_up: Callable[[int], None], step: int) -> None:
    """The next process that a supervisor of this test starts hangs at `step`; those after it do not."""
    hangs = [Hang(set_up, step)]

    def gather_with_hang(store: Store, claim: Claim, *, device: str, threads: int) -> Inputs:
        inputs = gather(store, claim, device=device, threads=threads)
        if not hangs:
            return inputs
        return Inputs(inputs.spec, replace(inputs.context, trial_state=hangs.pop()))

    monkeypatch.setattr(supervisor, "gather", gather_with_hang)
