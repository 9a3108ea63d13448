"""The `tune` job: a search over a `train` spec. Its trials share the process and the opened dataset."""

import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace

from optuna.trial import FrozenTrial, Trial, TrialState

from service.errors import DivergedError, RunError
from service.events import Event, FileSaved, Log, Phase, Progress, Reported, Stopped
from service.specs.train import TrainSpec
from service.specs.tune import TuneSpec
from service.states import StopReason
from worker.engine import checkpoint, loop, run_files, train, tune_report
from worker.engine.batch_size import choose_batch_size
from worker.engine.context import RunContext
from worker.engine.data.packed import PackedDataset
from worker.engine.search_space import Values
from worker.engine.setup import open_dataset, start
from worker.engine.state import TrainingState
from worker.engine.study import Search
from worker.engine.trials import Outcome, run_trial, start_run, trial_spec

HOPELESS_TRIALS = 5
"""So many failures without one trial that ran mean that none will."""
WAIT_SECONDS = 0.5


@dataclass(frozen=True)
class Champion:
    """The best trial so far and its run, which holds the best weights."""

    number: int
    run: TrainingState


class Tuning:
    """One job's search, and what it found."""

    def __init__(self, spec: TuneSpec, context: RunContext, dataset: PackedDataset) -> None:
        self.spec, self.context, self.dataset = spec, context, dataset
        self.search = Search(spec, context.study_url, context.study, context.runner)
        self.champion: Champion | None = None
        self.stopped: StopReason | None = None
        self.notes: list[str] = []

    def report(self) -> Reported:
        """The search's outcome as far as it is known."""
        return Reported("result", tune_report.report(self.search, self.notes, len(self.dataset.indices("val"))))


def run_tune(spec: TuneSpec, context: RunContext) -> Iterator[Event]:
    """Searches; yields `trial:<n>` as each ends, at last `result`, and the best trial's files and reports (`best` is
    its result). Raises RunError when no trial can be completed.
    """
    yield Phase("loading")
    if spec.train.batch_size == "auto" and "batch_size" not in spec.search_space:
        spec = yield from _with_batch_size(spec, context)
        if spec.train.batch_size == "auto":
            yield Stopped(context.stop() or StopReason.CANCELLED)
            return
    start(spec.train, context)
    tuning = Tuning(spec, context, open_dataset(context))
    try:
        yield from _tune(tuning)
    finally:
        tuning.search.close()


def _tune(tuning: Tuning) -> Iterator[Event]:
    tuning.search.prepare()
    yield Phase("searching")
    yield from _search(tuning)
    if tuning.stopped is None:
        yield from _crown(tuning)
    if tuning.stopped is None:
        yield from _confirm(tuning)
    yield tuning.report()
    yield Stopped(tuning.stopped or StopReason.COMPLETED)


def _with_batch_size(spec: TuneSpec, context: RunContext) -> Generator[Event, None, TuneSpec]:
    """The batch size that `auto` means, once for all trials."""
    base = TrainSpec.model_validate(spec.train.model_dump(mode="json") | {"kind": "train"})
    chosen = yield from choose_batch_size(base, context)
    return spec.model_copy(update={"train": spec.train.model_copy(update={"batch_size": chosen.batch_size})})


def _search(tuning: Tuning) -> Iterator[Event]:
    """Trial after trial until there are enough, or none has been better for long."""
    search = tuning.search
    while not _is_over(tuning):
        tuning.stopped = tuning.context.stop()
        if tuning.stopped is not None:
            return
        if search.places() == 0:
            time.sleep(WAIT_SECONDS)  # the last trials run elsewhere
            continue
        trial, values = search.ask()
        yield Reported(f"trial:{trial.number}", tune_report.row(search.frozen(trial)))
        outcome = yield from run_trial(search, trial, values, tuning.context, tuning.dataset)
        yield from _settle(tuning, trial, values, outcome)


def _is_over(tuning: Tuning) -> bool:
    search = tuning.search
    finished = search.finished()
    failed = [trial for trial in finished if trial.state is TrialState.FAIL]
    if len(failed) == len(finished) >= min(HOPELESS_TRIALS, search.wanted):
        reason = failed[-1].user_attrs.get("reason", "unknown")
        raise RunError(f"none of the first {len(failed)} trials could run; the last one: {reason}")
    if len(finished) >= search.wanted:
        return True
    if search.since_best() >= search.patience():
        tuning.notes.append(
            f"stopped after {len(finished)} of {search.wanted} trials: the last {search.since_best()} were no better"
        )
        return True
    return False


def _settle(tuning: Tuning, trial: Trial, values: Values, outcome: Outcome) -> Iterator[Event]:
    """Tells the study how the trial ended, and keeps the run when it is the best so far."""
    search, number = tuning.search, trial.number
    if outcome.interrupted is not None:
        tuning.stopped = outcome.interrupted
        search.interrupt(trial, again=outcome.interrupted is not StopReason.CANCELLED)
    else:
        search.tell(trial, outcome.state, outcome.value, outcome.reason)
    frozen = search.frozen(trial)
    yield Reported(f"trial:{number}", tune_report.row(frozen))
    yield Log(tune_report.sentence(frozen, tuning.spec.metric))
    best = search.best()
    if outcome.run is not None and best is not None and best.number == number:
        tuning.champion = Champion(number, outcome.run)
        yield from _save(tuning, tuning.champion, values)
    done = len(search.finished())
    yield Progress(min(done / search.wanted, 1.0), done, search.wanted)


def _save(tuning: Tuning, champion: Champion, values: Values) -> Iterator[Event]:
    """The best trial's whole state, from which a search that was killed takes it up again, and its weights alone."""
    run, number = champion.run, champion.number
    state = run.snapshot() | {"trial": number, "values": values}
    path = checkpoint.save(tuning.context.scratch / f"trial-{number:05d}.pt", state)
    yield FileSaved("last", path.name, path, number + 1, run.best.epoch, run.best.metrics)
    yield run_files.save_best(run)


def _crown(tuning: Tuning) -> Iterator[Event]:
    """The best trial's model file and reports become the job's own."""
    best = tuning.search.best()
    if best is None:
        yield tuning.report()
        raise RunError("no trial was completed; `GET /v1/jobs/{id}/trials` says why each ended")
    if tuning.champion is None or tuning.champion.number != best.number:
        yield from _find(tuning, best)
    if tuning.champion is None:
        return
    run = replace(tuning.champion.run, context=tuning.context)
    for event in train.conclude(run):
        renamed = isinstance(event, Reported) and event.name == "result"
        yield Reported("best", event.report) if renamed and isinstance(event, Reported) else event
    if run.stop_reason not in train.CONCLUSIVE:
        tuning.stopped = run.stop_reason


def _find(tuning: Tuning, best: FrozenTrial) -> Iterator[Event]:
    """The best trial's run when this process does not have it: from its checkpoint, else trained again."""
    spec = trial_spec(tuning.spec, best.user_attrs["values"])
    run = yield from start_run(spec, tuning.context, tuning.dataset)
    saved = checkpoint.load(tuning.context.resume_from) if tuning.context.resume_from else {}
    if saved.get("trial") == best.number:
        run.restore(saved)
        run.stop_reason = StopReason.COMPLETED
    else:
        yield Log(f"trial {best.number} was trained elsewhere; it is trained again here for its model and reports")
        yield from _trained(tuning, run)
    if tuning.stopped is None:
        tuning.champion = Champion(best.number, run)


def _trained(tuning: Tuning, run: TrainingState) -> Iterator[Event]:
    """Trains a run to its end without recording it; `tuning.stopped` says when that was not let happen."""
    for event in loop.train_epochs(run) if run.stop_reason is None else ():
        if isinstance(event, Log):
            yield event
    if run.stop_reason not in train.CONCLUSIVE:
        tuning.stopped = run.stop_reason


def _confirm(tuning: Tuning) -> Iterator[Event]:
    """Trains the best values again with other seeds and says how far the results lie apart."""
    best, spec = tuning.search.best(), tuning.spec
    if best is None or best.value is None or not spec.confirm_seeds:
        return
    yield Phase("confirming")
    _, metric = spec.metric.split("/")
    found = [best.value]
    for seed in range(spec.train.seed + 1, spec.train.seed + 1 + spec.confirm_seeds):
        again = trial_spec(spec, best.user_attrs["values"], seed)
        try:
            run = yield from start_run(again, tuning.context, tuning.dataset)
            yield from _trained(tuning, run)
        except DivergedError as error:
            tuning.notes.append(f"with seed {seed} the best values diverged: {error.detail}")
            continue
        if tuning.stopped is not None:
            return
        found.append(run.best.metrics[metric])
        yield Log(f"seed {seed}: {spec.metric} {found[-1]:.4g}")
    tuning.notes += tune_report.spread(tuning.search, found)
