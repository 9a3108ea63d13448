"""The `tune` job: a search over a `train` spec. Its trials share the process and the opened dataset.

With `parallelism`, runners on other worker slots share the study (see `tune_runner`); this one tells what all of them
find, takes up what those that died left behind, and makes the best trial the job's own, whoever ran it.
"""

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

from optuna.trial import FrozenTrial

from service.errors import DivergedError, RunError
from service.events import Event, Log, Phase, Progress, Reported, RunnersWanted, StepRecord, Stopped
from service.specs.train import TrainSpec
from service.specs.tune import TuneSpec
from service.states import StopReason
from worker.engine.context import RunContext
from worker.engine.kinds.batch_size import choose_batch_size
from worker.engine.training import checkpoints, loop
from worker.engine.training.final_reports import CONCLUSIVE, conclude
from worker.engine.training.setup import open_dataset, start
from worker.engine.training.state import TrainingState
from worker.engine.tune import report
from worker.engine.tune.runner import Champion, Tuning
from worker.engine.tune.study import Search, storage_faults
from worker.engine.tune.trial import start_run, trial_spec
from worker.engine.tune.trial_reporting import TrialNews

WAIT_SECONDS = 0.5


def run_tune(spec: TuneSpec, context: RunContext) -> Iterator[Event]:
    """Searches; yields `trial:<n>` as each begins and ends, at last `result`, and the best trial's files and reports
    (`best` is its result). Raises RunError when no trial can be completed.
    """
    yield Phase("loading")
    with storage_faults(), closing(Search(spec, context.study_url, context.study, context.runner)) as search:
        yield from _choose_batch_size(search, context)
        if search.spec.train.batch_size == "auto" and "batch_size" not in spec.search_space:
            yield Stopped(context.stop() or StopReason.CANCELLED)
            return
        start(spec.train, context)
        yield from _tune(Tuning(search.spec, context, open_dataset(context), search))


def _choose_batch_size(search: Search, context: RunContext) -> Iterator[Event]:
    """The batch size that `auto` means, once for all trials and runners: it is kept with the study."""
    spec = search.spec
    if spec.train.batch_size != "auto" or "batch_size" in spec.search_space:
        return
    size = search.study.user_attrs.get("batch_size")
    if size is None:
        base = TrainSpec.model_validate(spec.train.model_dump(mode="json") | {"kind": "train"})
        size = (yield from choose_batch_size(base, context)).batch_size
        if size == "auto":
            return
        search.study.set_user_attr("batch_size", size)
    search.spec = spec.model_copy(update={"train": spec.train.model_copy(update={"batch_size": size})})


def _tune(tuning: Tuning) -> Iterator[Event]:
    tuning.search.prepare()
    yield Phase("searching")
    yield from _search(tuning)
    if tuning.stopped is None:
        yield from _crown(tuning)
    if tuning.stopped is None:
        yield from _confirm(tuning)
    yield _report(tuning)
    yield Stopped(tuning.stopped or StopReason.COMPLETED)


def _report(tuning: Tuning) -> Reported:
    """The search's outcome as far as it is known."""
    return Reported("result", report.report(tuning.search, tuning.notes, len(tuning.dataset.indices("val"))))


def _search(tuning: Tuning) -> Iterator[Event]:
    """This runner's trials and the news of the others', until the search is over and nobody runs a trial."""
    search, news = tuning.search, TrialNews(tuning.search)
    yield from news.events()
    if search.storage is not None and (others := min(tuning.spec.parallelism, search.places()) - 1) > 0:
        yield RunnersWanted(tuning.spec, others)
    while tuning.stopped is None and not tuning.is_over():
        for event in tuning.run_trials():
            if isinstance(event, StepRecord):
                news.saw(event)
            if not isinstance(event, Progress):
                yield event
            if isinstance(event, Progress) or news.is_due:
                yield from news.events()
        if tuning.stopped is None and not tuning.is_over():
            yield from _wait(tuning, news)
    if tuning.stopped is None:
        search.close_others()
        yield from news.events()
        _note_end(tuning)


def _wait(tuning: Tuning, news: TrialNews) -> Iterator[Event]:
    """The last trials run elsewhere."""
    tuning.search.settle_silent()
    time.sleep(WAIT_SECONDS)
    tuning.stopped = tuning.context.stop()
    yield from news.events()


def _note_end(tuning: Tuning) -> None:
    """Why there are fewer trials than were asked for; RunError when none could run."""
    search, finished = tuning.search, tuning.search.finished()
    if tuning.is_hopeless():
        reason = finished[-1].user_attrs.get("reason", "unknown")
        raise RunError(f"none of the first {len(finished)} trials could run; the last one: {reason}")
    if len(finished) < search.wanted:
        tuning.notes.append(
            f"stopped after {len(finished)} of {search.wanted} trials: the last {search.since_best()} were no better"
        )


def _crown(tuning: Tuning) -> Iterator[Event]:
    """The best trial's model file and reports become the job's own."""
    best = tuning.search.best()
    if best is None:
        yield _report(tuning)
        raise RunError("no trial was completed; `GET /v1/jobs/{id}/trials` says why each ended")
    if tuning.champion is None or tuning.champion.number != best.number:
        yield from _find(tuning, best)
    if tuning.champion is None:
        return
    run = replace(tuning.champion.run, context=tuning.context)
    for event in conclude(run):
        renamed = isinstance(event, Reported) and event.name == "result"
        yield Reported("best", event.report) if renamed and isinstance(event, Reported) else event
    if run.stop_reason not in CONCLUSIVE:
        tuning.stopped = run.stop_reason


def _find(tuning: Tuning, best: FrozenTrial) -> Iterator[Event]:
    """The best trial's run when this process does not have it: from its saved state, else trained again."""
    spec = trial_spec(tuning.spec, best.user_attrs["values"])
    run = yield from start_run(spec, tuning.context, tuning.dataset)
    if (saved := _saved_state(tuning.context, best.number)) is not None:
        run.restore(saved)
        run.stop_reason = StopReason.COMPLETED
    else:
        yield Log(f"trial {best.number} was trained elsewhere; it is trained again here for its model and reports")
        yield from _trained(tuning, run)
    if tuning.stopped is None:
        tuning.champion = Champion(best.number, run, best.user_attrs["values"])
        yield from tuning.save()


def _saved_state(context: RunContext, number: int) -> dict[str, Any] | None:
    """The state of that trial: this job's own last one, or what another runner saved."""
    if context.resume_from is not None:
        saved = checkpoints.load(context.resume_from)
        if saved.get("trial") == number:
            return saved
    path = context.trial_state(number)
    return checkpoints.load(path) if path else None


def _trained(tuning: Tuning, run: TrainingState) -> Iterator[Event]:
    """Trains a run to its end without recording it; `tuning.stopped` says when that was not let happen."""
    for event in loop.train_epochs(run) if run.stop_reason is None else ():
        if isinstance(event, Log):
            yield event
    if run.stop_reason not in CONCLUSIVE:
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
    tuning.notes += report.spread(tuning.search, found)
