"""The sampler and the pruner that a search's spec names."""

import warnings
from typing import Any, assert_never

import numpy as np
from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner, SuccessiveHalvingPruner
from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial

from service.specs.tune import IntDimension, SearchFields
from worker.engine.tune import search_space

REDUCTION = 3
"""eta of successive halving and Hyperband: a third of the trials goes on to three times the epochs."""
HALVING_TRIALS, GP_TRIALS = 50, 250
"""Up to so many trials `auto` prunes by successive halving; below so many it samples numeric spaces by GP."""
PRUNING_REASONS: dict[type[BasePruner], str] = {
    SuccessiveHalvingPruner: "not among the best third of the trials that got so far (successive halving)",
    HyperbandPruner: "not among the best third of its bracket's trials that got so far (hyperband)",
    MedianPruner: "worse than the median of the earlier trials (median pruner)",
}


class TrialSampler(BaseSampler):
    """The spec's sampler, made anew for each trial: what it suggests depends on the seed, the trial's number and the
    results of finished trials, and not on what this process has suggested before.
    """

    def __init__(self, spec: SearchFields) -> None:
        self._spec = spec
        self._sampler = sampler(spec, spec.train.seed)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Begins the trial's own random numbers."""
        seed = np.random.SeedSequence((self._spec.train.seed, trial.number)).generate_state(1)[0]
        self._sampler = sampler(self._spec, int(seed))
        self._sampler.before_trial(study, trial)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """The parameters that are suggested together."""
        return self._sampler.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Their values."""
        return self._sampler.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """The value of one of the other parameters."""
        return self._sampler.sample_independent(study, trial, param_name, param_distribution)


def sampler(spec: SearchFields, seed: int) -> BaseSampler:
    """The spec's sampler. A grid search has every point in its queue; its sampler is never asked."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return _sampler(spec, seed)


def _sampler(spec: SearchFields, seed: int) -> BaseSampler:
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
