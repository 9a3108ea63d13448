"""A search as each of its runners has it: trial after trial on the shared study, the best one's state saved."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import Trial, TrialState

from service.events import Event, FileSaved, Progress
from service.specs.tune import SearchFields
from service.states import StopReason
from worker.engine.context import MAIN, RunContext
from worker.engine.data.packed import PackedDataset
from worker.engine.training import checkpoints, run_files
from worker.engine.training.state import TrainingState
from worker.engine.tune.search_space import Values
from worker.engine.tune.study import Search
from worker.engine.tune.trial import Outcome, run_trial

HOPELESS_TRIALS = 5
"""So many failures without one trial that ran mean that none will."""


@dataclass(frozen=True)
class Champion:
    """The best trial so far and its run, which holds the best weights."""

    number: int
    run: TrainingState
    values: Values


class Tuning:
    """One runner's part in a search, and what it found."""

    def __init__(self, spec: SearchFields, context: RunContext, dataset: PackedDataset, search: Search) -> None:
        self.spec, self.context, self.dataset, self.search = spec, context, dataset, search
        self.champion: Champion | None = None
        self.stopped: StopReason | None = None
        self.notes: list[str] = []

    def run_trials(self) -> Iterator[Event]:
        """Trials until there are enough, none has been better for long, or no place is left for one more.

        Yields what the trials yield, and a `Progress` when one has ended.
        """
        while not self.is_over():
            self.stopped = self.context.stop()
            asked = None if self.stopped else self.search.ask()
            if asked is None:
                return
            yield from self._run(*asked)

    def is_over(self) -> bool:
        """Whether the search has what it wants, or will not get it."""
        search = self.search
        return self.is_hopeless() or len(search.finished()) >= search.wanted or search.since_best() >= search.patience()

    def is_hopeless(self) -> bool:
        """Whether no trial could run so far, and there were some."""
        finished = self.search.finished()
        failed = sum(trial.state is TrialState.FAIL for trial in finished)
        return failed == len(finished) >= min(HOPELESS_TRIALS, self.search.wanted)

    def _run(self, trial: Trial, values: Values) -> Iterator[Event]:
        """One trial, told to the study; its run is kept when it is the best so far."""
        search, is_main = self.search, self.context.runner == MAIN
        first = is_main and not search.finished()
        outcome = yield from run_trial(search, trial, values, self.context, self.dataset, first=first)
        with suppress(UpdateFinishedTrialError):  # another process has ended it
            self._tell(trial, outcome)
        search.refresh()
        best = search.best()
        if outcome.run is not None and best is not None and best.number == trial.number:
            self.champion = Champion(trial.number, outcome.run, values)
            yield from self.save()
        done = len(search.finished())
        yield Progress(min(done / search.wanted, 1.0), done, search.wanted)

    def _tell(self, trial: Trial, outcome: Outcome) -> None:
        if outcome.interrupted is not None:
            self.stopped = outcome.interrupted
            self.search.interrupt(trial, again=outcome.interrupted is not StopReason.CANCELLED)
        elif outcome.state is not None:
            self.search.tell(trial, outcome.state, outcome.value, outcome.reason)

    def save(self) -> Iterator[Event]:
        """The best trial's whole state, from which its reports can be made in another process, and its weights."""
        if self.champion is None:
            return
        run, number = self.champion.run, self.champion.number
        state = run.snapshot() | {"trial": number, "values": self.champion.values}
        path = checkpoints.save(self.context.scratch / run_files.trial_name(number), state)
        yield FileSaved("last", path.name, path, number + 1, run.best.epoch, run.best.metrics)
        yield run_files.save_best(run)
