"""One trial of a search: a training with the trial's values, watched epoch by epoch, pruned when it is hopeless."""

import math
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, replace

import torch
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import Trial, TrialState

from service.diagnosis.judge import hopeless
from service.diagnosis.recording import Recording
from service.errors import DataError, DivergedError, RunError, SpecError, WeightsError
from service.events import EpochRecord, Event, Log, Phase, StepRecord
from service.resolution.defaults import filled
from service.resolution.patches import patched_spec
from service.resolution.validation import refuse
from service.specs.train import CheckpointSpec, TrainFields, TrainSpec
from service.specs.tune import SearchFields
from service.states import StopReason
from worker.engine.context import RunContext
from worker.engine.data.packed import PackedDataset
from worker.engine.runtime import seeding
from worker.engine.runtime.memory import is_out_of_memory, out_of_memory
from worker.engine.training import feature_cache, loop
from worker.engine.training.checkup import check_up_run
from worker.engine.training.final_reports import CONCLUSIVE
from worker.engine.training.setup import build_run, fixed_batch_size
from worker.engine.training.state import TrainingState
from worker.engine.tune.algorithms import PRUNING_REASONS
from worker.engine.tune.study import Study

NO_CHECKPOINT_SECONDS = 1e9


@dataclass(frozen=True)
class Outcome:
    """How a trial ended. `run` holds the best weights of a completed one; `interrupted` says why it has no end yet.

    `state` is None when another process has the trial by now: this one was thought dead, or the search is over.
    """

    state: TrialState | None
    value: float | None = None
    reason: str | None = None
    run: TrainingState | None = None
    interrupted: StopReason | None = None


def train_spec(fields: TrainFields) -> TrainSpec:
    """A search's base, or what a trial made of it, as the spec of a `train` job."""
    return TrainSpec.model_validate(fields.model_dump(mode="json") | {"kind": "train"})


def trial_spec(spec: SearchFields, values: Mapping[str, object], seed: int | None = None) -> TrainSpec:
    """The `train` spec of a trial. It records only what decides over the trial: no diagnosis, no probes, no resume
    state. Raises SpecError when the values do not go together.
    """
    complete = filled(train_spec(patched_spec(spec.train, values)))
    changes = {
        "diagnose": False,
        "gradients": None,
        "checkpoint": CheckpointSpec(every_seconds=NO_CHECKPOINT_SECONDS),
        "seed": complete.seed if seed is None else seed,
    }
    return complete.model_copy(update=changes)


def run_trial(
    study: Study, trial: Trial, context: RunContext, dataset: PackedDataset, *, first: bool
) -> Generator[Event, None, Outcome]:
    """Trains one trial; yields its metric as series `trial/<number>/...`. What is the trial's fault is an outcome.

    Raises what the `first` trial raised: it is the base spec's fault then, and every trial's.
    """
    batch_size = 0
    try:
        spec = trial_spec(study.spec, trial.user_attrs["values"])
        if refused := refuse(spec, spec, "", context.limits, dataset.meta):
            return Outcome(TrialState.FAIL, reason=f"{refused[0].pointer}: {refused[0].detail}")
        batch_size = fixed_batch_size(spec.batch_size)
        limit = _TimeLimit(study.spec.limits.trial_seconds, context.stop)
        run = yield from start_run(spec, replace(context, stop=limit.reason), dataset, check_up=first)
        outcome = yield from _train(study, trial, run)
        limit.lift()  # the best trial's run makes its reports later
        return outcome
    except DivergedError as error:
        return Outcome(TrialState.PRUNED, reason=f"D1 nonfinite: {error.detail}")
    except SpecError as error:
        return Outcome(TrialState.FAIL, reason=f"the values do not go together: {error.detail}")
    except (DataError, WeightsError) as error:
        if first:
            raise
        return Outcome(TrialState.FAIL, reason=error.detail)
    except RunError as error:
        return Outcome(TrialState.FAIL, reason=error.detail)
    except UpdateFinishedTrialError:
        return Outcome(None)
    except (torch.OutOfMemoryError, MemoryError, RuntimeError, ValueError) as error:
        if is_out_of_memory(error):
            return Outcome(TrialState.FAIL, reason=out_of_memory(batch_size).detail)
        if first:
            raise
        return Outcome(TrialState.FAIL, reason=f"{type(error).__name__}: {error}")


def start_run(
    spec: TrainSpec, context: RunContext, dataset: PackedDataset, *, check_up: bool = False
) -> Generator[Event, None, TrainingState]:
    """A run that is ready for its first step, as a `train` job's is."""
    run = build_run(spec, context, dataset)
    if check_up:
        yield from check_up_run(run)
        yield Phase("searching")
    for event in feature_cache.cache(run):
        if not isinstance(event, Phase | Log):
            yield event
    seeding.seed_everything(spec.seed, deterministic=spec.deterministic)
    return run


def _train(study: Study, trial: Trial, run: TrainingState) -> Generator[Event, None, Outcome]:
    """The training, ended as soon as the pruner or a rule says so."""
    metric = study.spec.metric
    name = metric.removeprefix("val/")
    recording = Recording(run.spec)
    for event in loop.train_epochs(run) if run.stop_reason is None else ():
        recording.add(event)
        if isinstance(event, EpochRecord):
            run.records.append(event)
            value = event.val[name]
            yield curve_point(trial.number, event.epoch, metric, value)
            study.report(trial, value, event.epoch)
            if finding := hopeless(recording.record()):
                return Outcome(TrialState.PRUNED, reason=f"{finding.rule} {finding.name}: {finding.explanation}")
            if event.epoch < run.spec.epochs and trial.should_prune():
                why = PRUNING_REASONS[type(trial.study.pruner)]
                return Outcome(TrialState.PRUNED, reason=f"{metric} {value:.4g} after epoch {event.epoch}: {why}")
    if run.stop_reason is StopReason.LIMIT:
        seconds = study.spec.limits.trial_seconds
        return Outcome(TrialState.PRUNED, reason=f"stopped: it took longer than `limits.trial_seconds`, {seconds:g} s")
    if run.stop_reason not in CONCLUSIVE:
        return Outcome(TrialState.FAIL, interrupted=run.stop_reason or StopReason.CANCELLED)
    return Outcome(TrialState.COMPLETE, value=run.best.metrics[name], run=run)


class _TimeLimit:
    """Why a trial shall stop: what its job is asked for, or that the trial has run for as long as it may."""

    def __init__(self, seconds: float | None, asked: Callable[[], StopReason | None]) -> None:
        self._end, self._asked = time.monotonic() + (seconds or math.inf), asked

    def reason(self) -> StopReason | None:
        """Called after every step."""
        return self._asked() or (StopReason.LIMIT if time.monotonic() > self._end else None)

    def lift(self) -> None:
        """Lets the run take its time from now on."""
        self._end = math.inf


def curve_point(number: int, epoch: int, metric: str, value: float) -> StepRecord:
    """One point of a trial's curve."""
    return StepRecord(epoch, epoch, {f"trial/{number}/{metric}": value})
