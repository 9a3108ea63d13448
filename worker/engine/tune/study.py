"""The Optuna study of a `tune` job: storage, sampler, pruner; what becomes of trials that were killed.

Trials are asked for and told one by one, so that a run yields its events and obeys `context.stop` at every step.
Optuna's heartbeat works inside `study.optimize` only; here each trial carries its runner's name, and a runner that
starts again settles its own dead trials at once; those of runners that never come back are settled by the search's
main process, which watches their pulse (see `pulse`).
"""

import sqlite3
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import assert_never

import optuna
from optuna.exceptions import ExperimentalWarning, StorageInternalError, UpdateFinishedTrialError
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner, SuccessiveHalvingPruner
from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, RandomSampler, TPESampler
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, Trial, TrialState

from service.errors import StudyError
from service.specs.tune import IntDimension, SearchFields
from worker.engine.tune import search_space
from worker.engine.tune.heartbeat import BEAT, Watch

REDUCTION = 3
"""eta of successive halving and Hyperband (METHOD, tune)."""
HALVING_TRIALS, GP_TRIALS = 50, 250
"""Up to so many trials `auto` prunes by successive halving; below so many it samples numeric spaces by GP (METHOD)."""
MOST_RETRIES = 2
VERDICTS: dict[type[BasePruner], str] = {
    SuccessiveHalvingPruner: "not among the best third of the trials that got so far (successive halving)",
    HyperbandPruner: "not among the best third of its bracket's trials that got so far (hyperband)",
    MedianPruner: "worse than the median of the earlier trials (median pruner)",
}
SQLITE = "sqlite:///"


class Search:
    """One runner's hold on the study."""

    def __init__(self, spec: SearchFields, url: str | None, name: str, runner: str) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.spec, self.runner = spec, runner
        self.sign = -1.0 if spec.metric == "val/loss" else 1.0
        """Times a value: more is better."""
        self.wanted = min(spec.n_trials, search_space.grid_size(spec)) if spec.sampler == "grid" else spec.n_trials
        """Trials that make the search complete."""
        self._watch = Watch()
        with _quiet():
            self.storage = _open(url) if url else None
            self.study = optuna.create_study(
                study_name=name,
                storage=self.storage,
                pruner=pruner(spec),
                load_if_exists=True,
                direction="minimize" if self.sign < 0 else "maximize",
            )
            self.trials = self.study.get_trials(deepcopy=False)
            """As of the last `refresh`."""
            self.study.sampler = sampler(spec, self._seed())

    def prepare(self) -> None:
        """Puts the first trials into an empty study; in one that went on before, settles this runner's dead trials."""
        if not self.trials:
            for parameters in self._first():
                self.study.enqueue_trial(parameters, skip_if_exists=True)
        self.settle_own()

    def settle_own(self) -> None:
        """Trials that this runner's last process left running are run again."""
        for trial in self.trials:
            if trial.state is TrialState.RUNNING and trial.user_attrs.get("runner") == self.runner:
                self.retry(trial, "its process died")
        self.refresh()

    def _first(self) -> list[dict[str, search_space.Scalar]]:
        """What is queued at once: for a grid search everything."""
        if self.spec.sampler == "grid":
            return search_space.grid_points(self.spec)
        return search_space.first_parameters(self.spec)

    def _seed(self) -> int:
        """A search that goes on draws anew, and runners that share it draw differently."""
        return self.spec.train.seed + len(self.trials) + zlib.crc32(self.runner.encode()) % 10_000

    def close(self) -> None:
        """Ends the connections to the storage."""
        if self.storage is not None:
            self.storage.remove_session()
            self.storage.engine.dispose()

    def refresh(self) -> None:
        """Reads what other runners have done meanwhile."""
        self.trials = self.study.get_trials(deepcopy=False)

    def ask(self) -> tuple[Trial, search_space.Values] | None:
        """The next trial and its values; None when enough have been started."""
        if self.places() <= 0:
            return None
        with _quiet():
            trial = self.study.ask()
            trial.set_user_attr("runner", self.runner)
            if self._is_surplus(trial):
                trial.set_user_attr("surplus", True)
                self._supersede(trial, "one too many", 0, again=False)
                return None
            values = search_space.suggest(trial, self.spec)
        trial.set_user_attr("values", values)
        return trial, values

    def _is_surplus(self, trial: Trial) -> bool:
        """Whether runners that asked at the same moment took every place; of theirs, the lowest numbers stay."""
        if self.storage is None:
            return False
        self.refresh()
        running = [each for each in self.trials if each.state is TrialState.RUNNING and each.number < trial.number]
        return len(self.finished()) + len(running) >= self.wanted

    def tell(self, trial: Trial, state: TrialState, value: float | None = None, reason: str | None = None) -> None:
        """Ends a trial; the reason is kept with it."""
        if reason is not None:
            trial.set_user_attr("reason", reason)
        self.study.tell(trial, value if state is TrialState.COMPLETE else None, state, skip_if_finished=True)

    def retry(self, trial: FrozenTrial, reason: str) -> None:
        """Fails a trial that was killed and queues its parameters again, at most twice."""
        tries = int(trial.user_attrs.get("tries", 0)) + 1
        with suppress(UpdateFinishedTrialError):  # it has ended meanwhile
            self._supersede(Trial(self.study, trial._trial_id), reason, tries, again=tries <= MOST_RETRIES)

    def interrupt(self, trial: Trial, *, again: bool) -> None:
        """Fails a trial that the job's own stop broke off; `again` queues its parameters for when the job goes on."""
        self._supersede(trial, "broken off", int(trial.user_attrs.get("tries", 0)), again=again)

    def _supersede(self, trial: Trial, reason: str, tries: int, *, again: bool) -> None:
        trial.set_user_attr("superseded", again)
        trial.set_user_attr("reason", f"{reason}; {'it is run again' if again else 'given up'}")
        self.study._storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)
        if again:
            self.study.enqueue_trial(trial.params, user_attrs={"tries": tries})

    def settle_silent(self) -> None:
        """Trials of other runners whose pulse has stopped are run again."""
        for trial in self.running_elsewhere():
            if self._watch.is_silent(trial.number, trial.user_attrs.get(BEAT)):
                self.retry(trial, "its runner fell silent")

    def close_others(self) -> None:
        """Ends what other runners still run: the search is over."""
        for trial in self.running_elsewhere():
            with suppress(UpdateFinishedTrialError):
                self.tell(Trial(self.study, trial._trial_id), TrialState.PRUNED, reason="the search was over")
        self.refresh()

    def running_elsewhere(self) -> list[FrozenTrial]:
        """Trials that other runners have under way."""
        running = (each for each in self.trials if each.state is TrialState.RUNNING)
        return [each for each in running if each.user_attrs.get("runner") != self.runner]

    def frozen(self, trial: Trial) -> FrozenTrial:
        """The trial as it is stored."""
        self.refresh()
        return self.trials[trial.number]

    def places(self) -> int:
        """Trials that may still be started: those that run elsewhere count as done."""
        self.refresh()
        running = sum(trial.state is TrialState.RUNNING for trial in self.trials)
        return self.wanted - len(self.finished()) - running

    def verdict(self, value: float, epoch: int) -> str:
        """Why the pruner ended a trial, in words."""
        why = VERDICTS[type(self.study.pruner)]
        return f"{self.spec.metric} {value:.4g} after epoch {epoch}: {why}"

    def visible(self) -> list[FrozenTrial]:
        """Trials that have begun, without those that were taken back at once."""
        return [
            each for each in self.trials if each.state is not TrialState.WAITING and "surplus" not in each.user_attrs
        ]

    def finished(self) -> list[FrozenTrial]:
        """Trials that count: the ones that were run again do not."""
        return [each for each in self.trials if each.state.is_finished() and not each.user_attrs.get("superseded")]

    def best(self) -> FrozenTrial | None:
        """The complete trial with the best value, the earliest of equals."""
        done = [trial for trial in self.finished() if trial.state is TrialState.COMPLETE and trial.value is not None]
        return max(done, key=lambda trial: (self.sign * (trial.value or 0.0), -trial.number)) if done else None

    def patience(self) -> int:
        """Trials without improvement after which the search ends (METHOD, tune)."""
        return max(20, round(0.3 * self.spec.n_trials))

    def since_best(self) -> int:
        """Trials that have ended since the best one."""
        best = self.best()
        return sum(trial.number > best.number for trial in self.finished()) if best else 0


def _open(url: str) -> RDBStorage:
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


def sampler(spec: SearchFields, seed: int) -> BaseSampler:
    """The spec's sampler. The points of a grid are queued, so nothing is left to draw."""
    with _quiet():
        match spec.sampler:
            case "auto":
                return _auto_sampler(spec, seed)
            case "tpe":
                return TPESampler(seed=seed, multivariate=True, group=True)
            case "gp":
                return GPSampler(seed=seed)
            case "random" | "grid":
                return RandomSampler(seed=seed)
            case "cmaes":
                return CmaEsSampler(seed=seed, warn_independent_sampling=False)
            case _:
                assert_never(spec.sampler)


def _auto_sampler(spec: SearchFields, seed: int) -> BaseSampler:
    if search_space.is_numeric(spec) and spec.n_trials < GP_TRIALS:
        return GPSampler(seed=seed)
    return TPESampler(seed=seed, multivariate=True, group=True)


def pruner(spec: SearchFields) -> BasePruner:
    """The spec's pruner; its resource is the epoch."""
    searched = spec.search_space.get("epochs")
    epochs = searched.high if isinstance(searched, IntDimension) else spec.train.epochs
    halving = SuccessiveHalvingPruner(min_resource=1, reduction_factor=REDUCTION)
    hyperband = HyperbandPruner(min_resource=1, max_resource=max(epochs, REDUCTION), reduction_factor=REDUCTION)
    match spec.pruner:
        case "auto":
            return halving if spec.n_trials <= HALVING_TRIALS else hyperband
        case "successive_halving":
            return halving
        case "hyperband":
            return hyperband
        case "median":
            return MedianPruner()
        case "none":
            return NopPruner()
        case _:
            assert_never(spec.pruner)


@contextmanager
def storage_faults() -> Iterator[None]:
    """A storage that does not answer ends the attempt, and the next one goes on with the study."""
    try:
        yield
    except StorageInternalError as error:
        raise StudyError(f"the study could not be reached: {error.__cause__ or error}") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Optuna warns each time that something of it is experimental."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        yield
