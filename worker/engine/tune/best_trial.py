"""A search's best trial: its model and reports become the job's own, and other seeds say how sure its lead is."""

from collections.abc import Iterator
from typing import Any

from optuna.trial import FrozenTrial

from service.errors import DivergedError
from service.events import EpochRecord, Event, Log, Phase, Reported
from service.reports.names import ReportName
from service.reports.result import TrainResult
from service.states import StopReason
from worker.engine.context import RunContext
from worker.engine.training import checkpoints, loop
from worker.engine.training.checkup import check_up_run
from worker.engine.training.final_reports import CONCLUSIVE, conclude
from worker.engine.training.setup import build_run
from worker.engine.training.state import TrainingState
from worker.engine.tune.noise import seed_spread
from worker.engine.tune.runner import Runner
from worker.engine.tune.trial import start_run, trial_spec


def publish(runner: Runner, best: FrozenTrial) -> Iterator[Event]:
    """The best trial's epochs, check-up, model file and reports, its result by the name `best`; `runner.stopped` says
    when it was interrupted.
    """
    if runner.best_number != best.number:
        yield from _restore(runner, best)
    run = runner.best_run
    if run is None or runner.stopped is not None:
        return
    yield from run.records
    yield from check_up_run(build_run(run.spec, runner.context, runner.dataset))
    for event in conclude(run):
        match event:
            case Reported(name=ReportName.RESULT, report=TrainResult() as result):
                runner.best_result = result
                yield Reported(ReportName.BEST, result)
            case _:
                yield event
    if run.stop_reason not in CONCLUSIVE:
        runner.stopped = run.stop_reason


def _restore(runner: Runner, best: FrozenTrial) -> Iterator[Event]:
    """The best trial's run when this process does not have it: from its saved state, else trained again."""
    spec = trial_spec(runner.study.spec, best.user_attrs["values"])
    run = yield from start_run(spec, runner.context, runner.dataset)
    if (state := _saved_state(runner.context, best.number)) is not None:
        run.restore(state)
        run.records = [EpochRecord(**record) for record in state.get("records", [])]
        run.stop_reason = StopReason.COMPLETED
    else:
        yield Log(f"trial {best.number} was trained elsewhere; it is trained again here for its model and reports")
        yield from _train(runner, run)
    if runner.stopped is None:
        yield from runner.keep(best.number, run)


def _saved_state(context: RunContext, number: int) -> dict[str, Any] | None:
    """The state of that trial: this job's own last one, or what another runner saved."""
    if context.resume_from is not None:
        state = checkpoints.load(context.resume_from)
        if state.get("trial") == number:
            return state
    path = context.trial_state(number)
    return checkpoints.load(path) if path else None


def _train(runner: Runner, run: TrainingState) -> Iterator[Event]:
    """Trains a run to its end without recording it; `runner.stopped` says when it was interrupted."""
    for event in loop.train_epochs(run) if run.stop_reason is None else ():
        if isinstance(event, EpochRecord):
            run.records.append(event)
        if isinstance(event, Log):
            yield event
    if run.stop_reason not in CONCLUSIVE:
        runner.stopped = run.stop_reason


def confirm(runner: Runner, best: FrozenTrial, notes: list[str]) -> Iterator[Event]:
    """Trains the best values again with other seeds; adds to `notes` how far the results lie apart."""
    spec = runner.study.spec
    if best.value is None or not spec.confirm_seeds:
        return
    yield Phase("confirming")
    values = [best.value]
    for seed in range(spec.train.seed + 1, spec.train.seed + 1 + spec.confirm_seeds):
        again = trial_spec(spec, best.user_attrs["values"], seed)
        try:
            run = yield from start_run(again, runner.context, runner.dataset)
            yield from _train(runner, run)
        except DivergedError as error:
            notes.append(f"with seed {seed} the best values diverged: {error.detail}")
            continue
        if runner.stopped is not None:
            return
        values.append(run.best.metrics[spec.metric.removeprefix("val/")])
        yield Log(f"seed {seed}: {spec.metric} {values[-1]:.4g}")
    notes += seed_spread(runner.study, values)
