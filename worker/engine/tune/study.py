"""The Optuna study of a search: its trials, whoever runs them, and what becomes of those whose process died.

Trials are asked for and told one by one, so that a run yields its events and obeys `context.stop` at every step.
Optuna's own heartbeat works inside `study.optimize` only; here each trial carries the name of its runner and the id of
its process. A trial that was broken off waits in the queue as if it had never run: it is run again under its own
number with the same values, so a search that was disturbed has the trials of one that was not. A runner that starts
again does so with the trials that its last process left; the search's main process with those whose heartbeat stopped.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, suppress
from uuid import uuid4

import optuna
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

from service.errors import StudyError
from service.events import Event, Log, Progress
from service.specs.tune import SearchFields
from worker.engine.context import MAIN, RunContext
from worker.engine.tune import algorithms, search_space
from worker.engine.tune.heartbeat import BEAT, Heartbeat, HeartbeatMonitor
from worker.engine.tune.storage import forget, open_storage

MOST_RETRIES = 2
HOPELESS_TRIALS = 5
"""So many failures without one trial that ran mean that none will."""
LEAST_PATIENCE, PATIENCE_SHARE = 20, 0.3
"""A search ends when so many trials, at least, and this share of all brought no improvement."""


class Study:
    """The trials of one search, as one of its runners sees them: `trials` is read anew by `refresh`."""

    def __init__(self, spec: SearchFields, context: RunContext) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.spec, self.runner = spec, context.runner
        self.sign = -1.0 if spec.metric == "val/loss" else 1.0
        """Times a value: more is better."""
        self.target = search_space.trial_count(spec)
        """Trials that make the search complete."""
        self._monitor = HeartbeatMonitor()
        self._process = uuid4().hex
        self.storage = open_storage(context.study_url) if context.study_url else None
        pruner = algorithms.pruner(spec)
        self.optuna_study = optuna.create_study(
            study_name=_name(self.storage),
            storage=self.storage,
            sampler=algorithms.TrialSampler(spec),
            pruner=pruner,
            load_if_exists=True,
            direction="minimize" if self.sign < 0 else "maximize",
        )
        # Hyperband makes its brackets when it is asked first, and samplers read them before that.
        pruner.prune(self.optuna_study, create_trial(state=TrialState.RUNNING))
        self.trials = self.optuna_study.get_trials(deepcopy=False)

    def close(self) -> None:
        """Ends the connections to the storage."""
        if self.storage is not None:
            self.storage.remove_session()
            self.storage.engine.dispose()

    def refresh(self) -> None:
        """Reads what other runners have done meanwhile."""
        self.trials = self.optuna_study.get_trials(deepcopy=False)

    # --- asking for trials, and telling how they ended

    def enqueue_first(self) -> None:
        """Queues what is missing of the trials that a search begins with; they have the first numbers."""
        for parameters in search_space.first_parameters(self.spec)[len(self.trials) :]:
            self.optuna_study.enqueue_trial(parameters, skip_if_exists=True)

    def ask(self) -> Trial | None:
        """The next trial, its values in `user_attrs["values"]`; None when enough have been started."""
        if self.places() <= 0:
            return None
        trial = self.optuna_study.ask()
        trial.set_user_attr("runner", self.runner)
        trial.set_user_attr("process", self._process)
        if self._is_surplus(trial):
            trial.set_user_attr("surplus", True)
            self.tell(trial, TrialState.FAIL)
            return None
        if "values" not in trial.user_attrs:
            trial.set_user_attr("values", search_space.suggest(trial, self.spec))
        return trial

    def places(self) -> int:
        """Trials that may still be started: those that are running count as done."""
        self.refresh()
        return self.target - len(self.finished()) - len(self._running())

    def _is_surplus(self, trial: Trial) -> bool:
        """Whether runners that asked at the same moment took every place; of theirs, the lowest numbers stay."""
        if self.storage is None:
            return False
        self.refresh()
        earlier = [running for running in self._running() if running.number < trial.number]
        return len(self.finished()) + len(earlier) >= self.target

    def heartbeat(self, trial: Trial) -> AbstractContextManager[object]:
        """Shows other processes that the trial is alive while it is entered."""
        return nullcontext() if self.storage is None else Heartbeat(trial)

    def report(self, trial: Trial, value: float, epoch: int) -> None:
        """Notes a trial's value after an epoch, for the pruner."""
        self._check_own(trial)
        trial.report(value, epoch)

    def tell(self, trial: Trial, state: TrialState, value: float | None = None, reason: str | None = None) -> None:
        """Ends a trial; the reason is kept with it."""
        self._check_own(trial)
        self._end(trial._trial_id, trial.number, state, value, reason)

    def _check_own(self, trial: Trial) -> None:
        """Raises UpdateFinishedTrialError when another process has the trial by now: this one was thought dead."""
        now = trial.storage.get_trial(trial._trial_id)
        if now.state is TrialState.WAITING or now.user_attrs.get("process") != self._process:
            raise UpdateFinishedTrialError(f"trial {trial.number} is another process's by now")

    def _end(
        self, trial_id: int, number: int, state: TrialState, value: float | None = None, reason: str | None = None
    ) -> None:
        if reason is not None:
            self.optuna_study._storage.set_trial_user_attr(trial_id, "reason", reason)
        self.optuna_study.tell(number, value if state is TrialState.COMPLETE else None, state, skip_if_finished=True)

    def put_back(self, trial: Trial) -> None:
        """Puts a trial that the job's own stop broke off back into the queue, for when the job goes on."""
        self._check_own(trial)
        self._put_back(trial.storage.get_trial(trial._trial_id))

    # --- trials whose process died

    def retry_own(self) -> Iterator[Event]:
        """Puts back the trials that this runner's last process left running; one that died before it had named its
        runner is the search's main process's.
        """
        mine = (self.runner, None) if self.runner == MAIN else (self.runner,)
        for trial in self._running():
            if trial.user_attrs.get("runner") in mine:
                yield self._retry(trial, "its process died")
        self.refresh()

    def retry_silent(self) -> Iterator[Event]:
        """Puts back the trials of other runners whose heartbeat has stopped."""
        for trial in self._running():
            beat = trial.user_attrs.get("process"), trial.user_attrs.get(BEAT)
            if trial.user_attrs.get("runner") != self.runner and self._monitor.is_silent(trial.number, beat):
                yield self._retry(trial, "its runner fell silent")

    def prune_others(self) -> None:
        """Ends what other runners still run, or would run again: the search is over."""
        for trial in self.visible():
            with suppress(UpdateFinishedTrialError):
                if not trial.state.is_finished():
                    self.optuna_study._storage.set_trial_state_values(trial._trial_id, TrialState.RUNNING)
                    self._end(trial._trial_id, trial.number, TrialState.PRUNED, reason="the search was over")
        self.refresh()

    def _retry(self, trial: FrozenTrial, reason: str) -> Log:
        """Puts back a trial that was killed, at most twice; then it fails."""
        tries = int(trial.user_attrs.get("tries", 0)) + 1
        with suppress(UpdateFinishedTrialError):  # it has ended meanwhile
            if tries > MOST_RETRIES:
                self._end(trial._trial_id, trial.number, TrialState.FAIL, reason=f"{reason}; given up")
                return Log(f"trial {trial.number} is given up: {reason}", "warning")
            self.optuna_study._storage.set_trial_user_attr(trial._trial_id, "tries", tries)
            self._put_back(trial)
        return Log(f"trial {trial.number} is run again: {reason}")

    def _put_back(self, trial: FrozenTrial) -> None:
        """Lets the trial wait as if it had never run; what was not completely suggested is suggested anew."""
        if self.storage is not None:
            forget(self.storage, trial, is_suggested="values" in trial.user_attrs)
        self.optuna_study._storage.set_trial_state_values(trial._trial_id, TrialState.WAITING)

    def _running(self) -> list[FrozenTrial]:
        return [trial for trial in self.trials if trial.state is TrialState.RUNNING]

    # --- how the search stands, as of the last `refresh`

    def visible(self) -> list[FrozenTrial]:
        """Trials that have begun, those that wait to be run again too, without those that were taken back at once."""
        begun = (
            trial for trial in self.trials if trial.state is not TrialState.WAITING or "values" in trial.user_attrs
        )
        return [trial for trial in begun if "surplus" not in trial.user_attrs]

    def finished(self) -> list[FrozenTrial]:
        """Trials that count. Version 0.1.0 failed a trial that was run again and marked it as superseded."""
        ended = (trial for trial in self.visible() if trial.state.is_finished())
        return [trial for trial in ended if not trial.user_attrs.get("superseded")]

    def ranked(self) -> list[FrozenTrial]:
        """The complete trials, the best first; of equals the earliest."""
        complete = (trial for trial in self.finished() if trial.state is TrialState.COMPLETE)
        return sorted(complete, key=lambda trial: -self.sign * (trial.value or 0.0))

    def best(self) -> FrozenTrial | None:
        """The complete trial with the best value, the earliest of equals."""
        return next(iter(self.ranked()), None)

    def since_best(self) -> int:
        """Trials that have ended since the best one."""
        best = self.best()
        return sum(trial.number > best.number for trial in self.finished()) if best else 0

    def is_over(self) -> bool:
        """Whether the search has the trials that it wants, or will not get anything better."""
        patience = max(LEAST_PATIENCE, round(PATIENCE_SHARE * self.spec.n_trials))
        return self.is_hopeless() or len(self.finished()) >= self.target or self.since_best() >= patience

    def is_hopeless(self) -> bool:
        """Whether no trial could run so far, and there were some."""
        finished = self.finished()
        failed = sum(trial.state is TrialState.FAIL for trial in finished)
        return failed == len(finished) >= min(HOPELESS_TRIALS, self.target)

    def progress(self) -> Progress:
        """How many of the trials are done."""
        done = len(self.finished())
        return Progress(min(done / self.target, 1.0), done, self.target)


@contextmanager
def open_study(spec: SearchFields, context: RunContext) -> Iterator[Study]:
    """The search's study. Raises StudyError when its storage does not answer: the next attempt goes on with it."""
    try:
        with closing(Study(spec, context)) as study:
            yield study
    except StorageInternalError as error:
        raise StudyError(f"the study could not be reached: {error.__cause__ or error}") from error


def _name(storage: RDBStorage | None) -> str:
    """The study's name, of which Hyperband's brackets depend: the same for every search. Version 0.1.0 took the job's
    id.
    """
    return next(iter(optuna.get_all_study_names(storage) if storage else ()), "tune")
