"""The whole suite: every fault and control on every model, dataset and seed of a part, spread over processes."""

import math
import multiprocessing
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

from benchmarks.diagnosis.cases import (
    CONTROLS,
    DATASETS,
    FAULTS,
    SEEDS,
    Control,
    Fault,
    applies,
    control_setup,
    fault_setup,
    models,
)
from benchmarks.diagnosis.rivals import RIVALS
from benchmarks.diagnosis.runs import Outcome, Setup, execute
from service.reports.finding import Finding

CONTROL_SEEDS = 2
ROUNDS = 3
"""Remedies are applied one after the other, as a person would, at most so often."""


@dataclass(frozen=True)
class Job:
    """One run of the suite."""

    case: Fault | Control
    model: str
    setup: Setup


@dataclass
class Cure:
    """What applying the remedies did to a faulty run."""

    rounds: int
    gone: bool
    """The findings that named the fault hold no more."""
    before: float
    after: float

    @property
    def improved(self) -> bool:
        """Val accuracy rose."""
        return self.after > self.before

    @property
    def worked(self) -> bool:
        """Finding gone, val accuracy better."""
        return self.gone and self.improved


@dataclass
class Seen:
    """What the suite keeps of a run."""

    job: Job
    warnings: frozenset[str]
    remarks: frozenset[str]
    first_epoch: dict[str, int]
    rivals: frozenset[str]
    accuracy: float
    epochs: int
    cure: Cure | None = None


def jobs(part: str, *, seeds: int | None = None, only: Callable[[Fault | Control], bool] = lambda _: True) -> list[Job]:
    """All runs of a part, controls last."""
    cases: Sequence[Fault | Control] = [*FAULTS, *CONTROLS]
    return [
        Job(case, name, _setup(case, model, dataset, seed))
        for case in cases
        if only(case)
        for name, model in models(part).items()
        if applies(case.only, model)
        for dataset in DATASETS
        for seed in _seeds(case, part, seeds)
    ]


def _seeds(case: Fault | Control, part: str, most: int | None) -> tuple[int, ...]:
    """Controls are of many kinds already: two seeds each are over a hundred runs."""
    chosen = SEEDS[part][:most]
    return chosen if isinstance(case, Fault) else chosen[:CONTROL_SEEDS]


def _setup(case: Fault | Control, model: dict[str, object], dataset: str, seed: int) -> Setup:
    if isinstance(case, Fault):
        return fault_setup(case, model, dataset, seed)
    return control_setup(case, model, dataset, seed)


def run_all(chosen: Iterable[Job], *, cures: bool, processes: int = 2) -> list[Seen]:
    """Runs everything; the order of the answers is that of the jobs."""
    context = multiprocessing.get_context("forkserver")
    with ProcessPoolExecutor(processes, mp_context=context, initializer=os.nice, initargs=(10,)) as pool:
        return list(pool.map(look_and_cure if cures else look, list(chosen), chunksize=2))


def look(job: Job) -> Seen:
    """Runs a job and keeps what was seen."""
    return _seen(job, execute(job.setup))


def look_and_cure(job: Job) -> Seen:
    """Runs a job and, when it is a fault that a patch of the spec can mend, its remedies too."""
    outcome = execute(job.setup)
    seen = _seen(job, outcome)
    if isinstance(job.case, Fault) and job.case.remedy == "spec":
        seen.cure = cure(job.case, job.setup, outcome)
    return seen


def _seen(job: Job, outcome: Outcome) -> Seen:
    return Seen(
        job,
        frozenset(outcome.warnings),
        frozenset(outcome.remarks),
        outcome.first_epoch,
        frozenset(name for name, judge in RIVALS.items() if judge(outcome.record)),
        outcome.accuracy,
        len(outcome.record.epochs),
    )


def cure(fault: Fault, setup: Setup, outcome: Outcome) -> Cure | None:
    """Applies the first warning's patch, looks again, and goes on until the run is mended; None when none was told."""
    named = frozenset().union(*fault.named_by)
    before, mended = outcome.accuracy, None
    for rounds in range(1, ROUNDS + 1):
        if (finding := _first_patch(outcome.findings)) is None:
            break
        setup = _applied(setup, finding)
        outcome = execute(setup)
        after = outcome.accuracy if math.isfinite(outcome.accuracy) else 0.0
        mended = Cure(rounds, not named & outcome.warnings, before, after)
        if mended.worked:
            break
    return mended


def _first_patch(findings: tuple[Finding, ...]) -> Finding | None:
    return next((f for f in findings if f.severity != "info" and f.remedy.patch), None)


def _applied(setup: Setup, finding: Finding) -> Setup:
    """The setup with the finding's patch after its own."""
    patch = {path: value for path, value in setup.patch.items() if path not in finding.remedy.patch}
    return Setup(
        setup.dataset, setup.seed, patch | finding.remedy.patch, setup.twist, setup.injection, setup.train, setup.val
    )
