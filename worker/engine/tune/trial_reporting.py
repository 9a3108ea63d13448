"""What is new in a search's study since it was last told, whichever runner it came from: rows, curves, progress.

The study is the truth of the trials, so only the search's main process tells, under its own fence, and a search that
goes on after a crash tells everything again.
"""

import time
from collections.abc import Iterator

from optuna.trial import FrozenTrial, TrialState

from service.events import Event, Log, Progress, Reported, StepRecord
from service.reports.result import Importances
from worker.engine.tune import report
from worker.engine.tune.study import Search
from worker.engine.tune.trial import point

LOOK_SECONDS, WEIGH_SECONDS = 1.0, 30.0


class TrialNews:
    """Remembers what has been told."""

    def __init__(self, search: Search) -> None:
        self.search = search
        self._states: dict[int, TrialState] = {}
        self._epochs: dict[int, int] = {}
        self._due = 0.0
        self._weigh_at = time.monotonic() + WEIGH_SECONDS

    def saw(self, record: StepRecord) -> None:
        """A point of the curve of this runner's own trial, told as soon as it is known."""
        for name in record.values:
            self._epochs[int(name.split("/")[1])] = record.epoch

    @property
    def is_due(self) -> bool:
        """Whether it is time to look at what others have done."""
        return time.monotonic() >= self._due

    def events(self) -> Iterator[Event]:
        """What has changed, with the study as it is now."""
        self.search.refresh()
        self._due = time.monotonic() + LOOK_SECONDS
        before = self._done()
        for trial in self.search.visible():
            if self._states.get(trial.number) in (None, TrialState.RUNNING):
                yield from self._tell(trial)
        if self._done() != before:
            done = len(self.search.finished())
            yield Progress(min(done / self.search.wanted, 1.0), done, self.search.wanted)
            yield from self._weigh()

    def _weigh(self) -> Iterator[Event]:
        """What has mattered so far, now and then: it takes longer than all the rest."""
        if time.monotonic() < self._weigh_at:
            return
        yield Reported("importances", Importances(data=report.importances(self.search)))
        self._weigh_at = time.monotonic() + WEIGH_SECONDS

    def _done(self) -> int:
        return sum(state is not TrialState.RUNNING for state in self._states.values())

    def _tell(self, trial: FrozenTrial) -> Iterator[Event]:
        for epoch, value in sorted(trial.intermediate_values.items()):
            if epoch > self._epochs.get(trial.number, 0):
                yield point(trial.number, epoch, self.search.spec.metric, value)
                self._epochs[trial.number] = epoch
        if trial.state is self._states.get(trial.number):
            return
        self._states[trial.number] = trial.state
        yield Reported(f"trial:{trial.number}", report.row(trial))
        if trial.state is not TrialState.RUNNING:
            yield Log(report.sentence(trial, self.search.spec.metric))
