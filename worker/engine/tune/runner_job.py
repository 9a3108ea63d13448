"""One more runner of a search's trials: it shares the study with the `tune` job, which tells what is found."""

from collections.abc import Iterator
from contextlib import closing

from service.events import Event, FileSaved, Log, Phase, Progress, Stopped
from service.specs.tune import TuneRunnerSpec
from service.states import StopReason
from worker.engine.context import RunContext
from worker.engine.training.setup import open_dataset, start
from worker.engine.tune.runner import Tuning
from worker.engine.tune.study import Search, storage_faults

TOLD = (FileSaved, Log, Progress)
"""What of a trial's events is the runner's own; rows and curves are the search's."""


def run_tune_runner(spec: TuneRunnerSpec, context: RunContext) -> Iterator[Event]:
    """Runs trials until the search needs no more; yields the saved state of each that is the best so far."""
    yield Phase("loading")
    start(spec.train, context)
    with storage_faults(), closing(Search(spec, context.study_url, context.study, context.runner)) as search:
        tuning = Tuning(spec, context, open_dataset(context), search)
        search.settle_own()
        yield Phase("searching")
        for event in tuning.run_trials():
            if isinstance(event, TOLD):
                yield event
    yield Stopped(tuning.stopped or StopReason.COMPLETED)
