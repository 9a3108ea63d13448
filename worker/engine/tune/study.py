"""The Optuna study of a search: its trials, whoever runs them, and what becomes of those whose process died.

Trials are asked for and told one by one, so that a run yields its events and obeys `context.stop` at every step.
Optuna's own heartbeat works inside `study.optimize` only; here each trial carries its runner's name. A runner that
starts again retries the trials that its last process left; the search's main process retries those whose heartbeat
stopped.
"""

import sqlite3
import warnings
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, suppress

import optuna
from optuna.exceptions import ExperimentalWarning, StorageInternalError, UpdateFinishedTrialError
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, Trial, TrialState

from service.errors import StudyError
from service.events import Progress
from service.specs.tune import SearchFields
from worker.engine.context import RunContext
from worker.engine.tune import algorithms, search_space
from worker.engine.tune.heartbeat import BEAT, Heartbeat, HeartbeatMonitor

MOST_RETRIES = 2
HOPELESS_TRIALS = 5
"""So many failures without one trial that ran mean that none will."""
LEAST_PATIENCE, PATIENCE_SHARE = 20, 0.3
"""A search ends when so many trials, at least, and this share of all brought no improvement."""
SQLITE = "sqlite:///"


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
        with _quiet():
            self.storage = open_storage(context.study_url) if context.study_url else None
            self.optuna_study = optuna.create_study(
                study_name=context.study,
                storage=self.storage,
                pruner=algorithms.pruner(spec),
                load_if_exists=True,
                direction="minimize" if self.sign < 0 else "maximize",
            )
            self.trials = self.optuna_study.get_trials(deepcopy=False)
            self.optuna_study.sampler = algorithms.sampler(spec, self._seed())

    def _seed(self) -> int:
        """A resumed search draws other values than before, and runners that share it draw different ones."""
        return self.spec.train.seed + len(self.trials) + zlib.crc32(self.runner.encode()) % 10_000

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
        """Queues the trials that a search begins with, unless it has begun."""
        for parameters in () if self.trials else search_space.first_parameters(self.spec):
            self.optuna_study.enqueue_trial(parameters, skip_if_exists=True)

    def ask(self) -> Trial | None:
        """The next trial, its values in `user_attrs["values"]`; None when enough have been started."""
        if self.places() <= 0:
            return None
        with _quiet():
            trial = self.optuna_study.ask()
            trial.set_user_attr("runner", self.runner)
            if self._is_surplus(trial):
                trial.set_user_attr("surplus", True)
                self._supersede(trial, "one too many", 0, again=False)
                return None
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

    def tell(self, trial: Trial, state: TrialState, value: float | None = None, reason: str | None = None) -> None:
        """Ends a trial; the reason is kept with it."""
        if reason is not None:
            trial.set_user_attr("reason", reason)
        self.optuna_study.tell(trial, value if state is TrialState.COMPLETE else None, state, skip_if_finished=True)

    def interrupt(self, trial: Trial, *, again: bool) -> None:
        """Fails a trial that the job's own stop broke off; `again` queues its parameters for when the job goes on."""
        self._supersede(trial, "broken off", int(trial.user_attrs.get("tries", 0)), again=again)

    # --- trials whose process died

    def retry_own(self) -> None:
        """Trials that this runner's last process left running are run again."""
        for trial in self._running():
            if trial.user_attrs.get("runner") == self.runner:
                self._retry(trial, "its process died")
        self.refresh()

    def retry_silent(self) -> None:
        """Trials of other runners whose heartbeat has stopped are run again."""
        for trial in self._running_elsewhere():
            if self._monitor.is_silent(trial.number, trial.user_attrs.get(BEAT)):
                self._retry(trial, "its runner fell silent")

    def prune_others(self) -> None:
        """Ends what other runners still run: the search is over."""
        for trial in self._running_elsewhere():
            with suppress(UpdateFinishedTrialError):
                self.tell(Trial(self.optuna_study, trial._trial_id), TrialState.PRUNED, reason="the search was over")
        self.refresh()

    def _retry(self, trial: FrozenTrial, reason: str) -> None:
        """Fails a trial that was killed and queues its parameters again, at most twice."""
        tries = int(trial.user_attrs.get("tries", 0)) + 1
        with suppress(UpdateFinishedTrialError):  # it has ended meanwhile
            self._supersede(Trial(self.optuna_study, trial._trial_id), reason, tries, again=tries <= MOST_RETRIES)

    def _supersede(self, trial: Trial, reason: str, tries: int, *, again: bool) -> None:
        trial.set_user_attr("superseded", again)
        trial.set_user_attr("reason", f"{reason}; {'it is run again' if again else 'given up'}")
        self.optuna_study._storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)
        if again:
            self.optuna_study.enqueue_trial(trial.params, user_attrs={"tries": tries})

    def _running(self) -> list[FrozenTrial]:
        return [trial for trial in self.trials if trial.state is TrialState.RUNNING]

    def _running_elsewhere(self) -> list[FrozenTrial]:
        return [trial for trial in self._running() if trial.user_attrs.get("runner") != self.runner]

    # --- how the search stands, as of the last `refresh`

    def visible(self) -> list[FrozenTrial]:
        """Trials that have begun, without those that were taken back at once."""
        begun = (trial for trial in self.trials if trial.state is not TrialState.WAITING)
        return [trial for trial in begun if "surplus" not in trial.user_attrs]

    def finished(self) -> list[FrozenTrial]:
        """Trials that count: the ones that were run again do not."""
        ended = (trial for trial in self.trials if trial.state.is_finished())
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


def open_storage(url: str) -> RDBStorage:
    """The storage at `url`. A SQLite file is written ahead and synced at its checkpoints only: five times as fast, and
    a killed process still loses nothing.
    """
    options: dict[str, object] = {"pool_pre_ping": True}
    if url.startswith(SQLITE):
        path = url.removeprefix(SQLITE)
        options["creator"] = lambda: _connect(path)
    return RDBStorage(url, engine_kwargs=options)


def _connect(path: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=60, check_same_thread=False)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    return connection


@contextmanager
def _quiet() -> Iterator[None]:
    """Optuna warns each time that something of it is experimental."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        yield
