"""The Optuna study of a `tune` job: storage, sampler, pruner; what becomes of trials that were killed.

Trials are asked for and told one by one, so that a run yields its events, obeys `context.stop` at every step and needs
no thread. Optuna's heartbeat works inside `study.optimize` only; here `Search.beat` does its part, and each trial also
carries its runner's name: a runner that starts again settles its own dead trials at once.
"""

import sqlite3
import time
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import assert_never

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner, SuccessiveHalvingPruner
from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, RandomSampler, TPESampler
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, Trial, TrialState

from service.specs.tune import IntDimension, TuneSpec
from worker.engine import search_space

REDUCTION = 3
"""eta of successive halving and Hyperband (METHOD, tune)."""
HALVING_TRIALS, GP_TRIALS = 50, 250
"""Up to so many trials `auto` prunes by successive halving; below so many it samples numeric spaces by GP (METHOD)."""
BEAT_SECONDS, GRACE_SECONDS = 30, 180
MOST_RETRIES = 2
SQLITE = "sqlite:///"


class Search:
    """One runner's hold on the study."""

    def __init__(self, spec: TuneSpec, url: str | None, name: str, runner: str) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.spec, self.runner = spec, runner
        self.sign = -1.0 if spec.metric == "val/loss" else 1.0
        """Times a value: more is better."""
        self.wanted = min(spec.n_trials, search_space.grid_size(spec)) if spec.sampler == "grid" else spec.n_trials
        """Trials that make the search complete."""
        self._beaten = 0.0
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
        trials = self.trials
        for trial in trials:
            if trial.state is TrialState.RUNNING and trial.user_attrs.get("runner") == self.runner:
                self.retry(trial, "its process died")
        if not trials:
            for parameters in self._first():
                self.study.enqueue_trial(parameters, skip_if_exists=True)
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

    def ask(self) -> tuple[Trial, search_space.Values]:
        """The next trial and its values; trials whose runner has been silent too long are settled first."""
        self._settle_silent()
        with _quiet():
            trial = self.study.ask()
            trial.set_user_attr("runner", self.runner)
            values = search_space.suggest(trial, self.spec)
        trial.set_user_attr("values", values)
        return trial, values

    def tell(self, trial: Trial, state: TrialState, value: float | None = None, reason: str | None = None) -> None:
        """Ends a trial; the reason is kept with it."""
        if reason is not None:
            trial.set_user_attr("reason", reason)
        self.study.tell(trial, value if state is TrialState.COMPLETE else None, state, skip_if_finished=True)

    def retry(self, trial: FrozenTrial, reason: str) -> None:
        """Fails a trial that was killed and queues its parameters again, at most twice."""
        tries = int(trial.user_attrs.get("tries", 0)) + 1
        self._supersede(Trial(self.study, trial._trial_id), reason, tries, again=tries <= MOST_RETRIES)

    def interrupt(self, trial: Trial, *, again: bool) -> None:
        """Fails a trial that the job's own stop broke off; `again` queues its parameters for when the job goes on."""
        self._supersede(trial, "broken off", int(trial.user_attrs.get("tries", 0)), again=again)

    def _supersede(self, trial: Trial, reason: str, tries: int, *, again: bool) -> None:
        trial.set_user_attr("superseded", again)
        self.tell(trial, TrialState.FAIL, reason=f"{reason}; {'it is run again' if again else 'given up'}")
        if again:
            self.study.enqueue_trial(trial.params, user_attrs={"tries": tries})

    def beat(self, trial: Trial) -> None:
        """Lets other runners know, now and then, that this trial is alive."""
        if self.storage is not None and time.monotonic() - self._beaten > BEAT_SECONDS / 2:
            self.storage.record_heartbeat(trial._trial_id)
            self._beaten = time.monotonic()

    def _settle_silent(self) -> None:
        if self.storage is None:
            return
        silent = set(self.storage._get_stale_trial_ids(self.study._study_id))
        for trial in self.trials:
            if trial.state is TrialState.RUNNING and trial._trial_id in silent:
                self.retry(trial, "its runner fell silent")

    def frozen(self, trial: Trial) -> FrozenTrial:
        """The trial as it is stored."""
        self.refresh()
        return self.trials[trial.number]

    def places(self) -> int:
        """Trials that may still be started: those that run elsewhere count as done."""
        self.refresh()
        running = sum(trial.state is TrialState.RUNNING for trial in self.trials)
        return self.wanted - len(self.finished()) - running

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
    options: dict[str, object] = {}
    if url.startswith(SQLITE):
        path = url.removeprefix(SQLITE)
        options["creator"] = lambda: _connect(path)
    return RDBStorage(url, engine_kwargs=options, heartbeat_interval=BEAT_SECONDS, grace_period=GRACE_SECONDS)


def _connect(path: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=60, check_same_thread=False)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    return connection


def sampler(spec: TuneSpec, seed: int) -> BaseSampler:
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


def _auto_sampler(spec: TuneSpec, seed: int) -> BaseSampler:
    if search_space.is_numeric(spec) and spec.n_trials < GP_TRIALS:
        return GPSampler(seed=seed)
    return TPESampler(seed=seed, multivariate=True, group=True)


def pruner(spec: TuneSpec) -> BasePruner:
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
def _quiet() -> Iterator[None]:
    """Optuna warns each time that something of it is experimental, and that `ask` sends no heartbeats (`beat` does)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        warnings.filterwarnings("ignore", message="Heartbeat of storage is supposed")
        yield
