"""The `tune` job, a search over a `train` spec, and the internal `tune-runner` jobs that run its trials beside it.

With `parallelism`, runners on other worker slots share the study. The job itself publishes what all of them find,
retries the trials of those that died, and makes the best trial its own, whoever ran it.
"""

import time
from collections.abc import Generator, Iterator

from service.errors import UnfitSpecError
from service.events import Event, FileSaved, Log, Phase, Progress, RunnersWanted, StepRecord, Stopped
from service.specs.tune import TuneRunnerSpec, TuneSpec
from service.states import StopReason
from worker.engine.context import RunContext
from worker.engine.kinds.batch_size import choose_batch_size
from worker.engine.tune import best_trial
from worker.engine.tune.report import Report
from worker.engine.tune.runner import Runner
from worker.engine.tune.study import Study, open_study
from worker.engine.tune.trial import train_spec

WAIT_SECONDS = 0.5
RUNNER_EVENTS = (FileSaved, Log, Progress)
"""What of its trials' events a runner beside the search passes on; the search publishes rows and curves."""


def run_tune(spec: TuneSpec, context: RunContext) -> Iterator[Event]:
    """Searches; yields `trial:<n>` as each begins and ends, at last `result`, and the best trial's files and reports
    (`best` is its result). Raises UnfitSpecError when no trial can be completed.
    """
    yield Phase("loading")
    with open_study(spec, context) as study:
        if not (yield from _fix_batch_size(study, context)):
            yield Stopped(context.stop() or StopReason.CANCELLED)
            return
        runner, report = Runner(study, context), Report(study)
        study.enqueue_first()
        yield from study.retry_own()
        yield Phase("searching")
        yield from _search(runner, report)
        val_samples = len(runner.dataset.indices("val"))
        if runner.stopped is None:
            best = study.best()
            if best is None:
                yield report.result(val_samples)
                raise UnfitSpecError("no trial was completed; `GET /v1/jobs/{id}/trials` says why each ended")
            yield from best_trial.publish(runner, best)
            if runner.stopped is None:
                yield from best_trial.confirm(runner, best, report.notes)
        yield report.result(val_samples, runner.best_result)
        yield Stopped(runner.stopped or StopReason.COMPLETED)


def run_tune_runner(spec: TuneRunnerSpec, context: RunContext) -> Iterator[Event]:
    """Runs trials until the search needs no more; yields the saved state of each that is the best so far."""
    yield Phase("loading")
    with open_study(spec, context) as study:
        runner = Runner(study, context)
        yield from study.retry_own()
        yield Phase("searching")
        for event in runner.run_trials():
            if isinstance(event, RUNNER_EVENTS):
                yield event
    yield Stopped(runner.stopped or StopReason.COMPLETED)


def _fix_batch_size(study: Study, context: RunContext) -> Generator[Event, None, bool]:
    """Finds out what batch size `auto` means, once for all trials and runners: the study remembers it. False when the
    job was asked to stop meanwhile.
    """
    spec = study.spec
    if spec.train.batch_size != "auto" or "batch_size" in spec.search_space:
        return True
    size = study.optuna_study.user_attrs.get("batch_size")
    if size is None:
        size = (yield from choose_batch_size(train_spec(spec.train), context)).batch_size
        if size == "auto":
            return False
        study.optuna_study.set_user_attr("batch_size", size)
    study.spec = spec.model_copy(update={"train": spec.train.model_copy(update={"batch_size": size})})
    return True


def _search(runner: Runner, report: Report) -> Iterator[Event]:
    """This runner's trials and the changes of the others', until the search is over and nobody runs a trial."""
    study = runner.study
    yield from report.changes()
    if study.storage is not None and (others := min(study.spec.parallelism, study.places()) - 1) > 0:
        yield RunnersWanted(study.spec, others)
    while runner.stopped is None and not study.is_over():
        for event in runner.run_trials():
            yield from _published(event, report)
        if runner.stopped is None and not study.is_over():  # the last trials run elsewhere
            yield from study.retry_silent()
            time.sleep(WAIT_SECONDS)
            runner.stopped = runner.context.stop()
            yield from report.changes()
    if runner.stopped is None:
        study.prune_others()
        yield from report.changes()
        report.notes += _ended_early(study)


def _published(event: Event, report: Report) -> Iterator[Event]:
    """An event of this runner's own trial, and what the others have done meanwhile."""
    if isinstance(event, StepRecord):
        report.passed_on(event)
    if not isinstance(event, Progress):
        yield event
    if isinstance(event, Progress) or report.is_due:
        yield from report.changes()


def _ended_early(study: Study) -> list[str]:
    """Why there are fewer trials than were asked for; UnfitSpecError when none could run."""
    finished = study.finished()
    if study.is_hopeless():
        reason = finished[-1].user_attrs.get("reason", "unknown")
        raise UnfitSpecError(f"none of the first {len(finished)} trials could run; the last one: {reason}")
    if len(finished) >= study.target:
        return []
    return [f"stopped after {len(finished)} of {study.target} trials: the last {study.since_best()} were no better"]
