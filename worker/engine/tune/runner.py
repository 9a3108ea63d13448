"""One runner of a search: runs trial after trial of the shared study in this process and saves the best one's state."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict

from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import Trial, TrialState

from service.events import Event, FileSaved
from service.reports.result import TrainResult
from service.states import StopReason
from worker.engine.context import MAIN, RunContext, trial_file
from worker.engine.training import checkpoints, run_files
from worker.engine.training.setup import open_dataset, start
from worker.engine.training.state import TrainingState
from worker.engine.tune.study import Study
from worker.engine.tune.trial import Outcome, run_trial


class Runner:
    """A process that runs trials of `study`; they share the opened dataset."""

    def __init__(self, study: Study, context: RunContext) -> None:
        start(study.spec.train, context)
        self.study, self.context, self.dataset = study, context, open_dataset(context)
        self.best_number: int | None = None
        self.best_run: TrainingState | None = None
        """The run of the best trial, if this process has it: it holds the best weights."""
        self.best_result: TrainResult | None = None
        self.stopped: StopReason | None = None

    def run_trials(self) -> Iterator[Event]:
        """Trials until there are enough, none has been better for long, or no place is left for one more.

        Yields what the trials yield, and a `Progress` when one has ended.
        """
        while not self.study.is_over():
            self.stopped = self.context.stop()
            trial = None if self.stopped else self.study.ask()
            if trial is None:
                return
            yield from self._run(trial)

    def _run(self, trial: Trial) -> Iterator[Event]:
        study = self.study
        first = self.context.runner == MAIN and not study.finished()
        with study.heartbeat(trial):
            outcome = yield from run_trial(study, trial, self.context, self.dataset, first=first)
        with suppress(UpdateFinishedTrialError):  # another process has ended it
            self._tell(trial, outcome)
        study.refresh()
        best = study.best()
        if outcome.run is not None and best is not None and best.number == trial.number:
            yield from self.keep(trial.number, outcome.run)
        yield study.progress()

    def _tell(self, trial: Trial, outcome: Outcome) -> None:
        if outcome.interrupted is not None:
            self.stopped = outcome.interrupted
            if outcome.interrupted is StopReason.CANCELLED:
                self.study.tell(trial, TrialState.FAIL, reason="broken off; given up")
            else:
                self.study.put_back(trial)
        elif outcome.state is not None:
            self.study.tell(trial, outcome.state, outcome.value, outcome.reason)

    def keep(self, number: int, run: TrainingState) -> Iterator[Event]:
        """Keeps the best trial's run; saves its weights, and its whole state, from which another process can make its
        reports.
        """
        self.best_number, self.best_run = number, run
        state = run.snapshot() | {"trial": number, "records": [asdict(record) for record in run.records]}
        path = checkpoints.save(self.context.scratch / trial_file(number), state)
        yield FileSaved("last", path.name, path, number + 1, run.best.epoch, run.best.metrics)
        yield run_files.save_best(run)
