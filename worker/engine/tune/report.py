"""A search in words and numbers: its trials, its best, what mattered, and how much of it is noise."""

import math
import statistics
import warnings
from collections.abc import Sequence
from typing import Literal

from optuna.trial import FrozenTrial, TrialState

from service.reports.result import Trial, TuneReport
from worker.engine.tune.study import Search

STATES: dict[TrialState, Literal["running", "complete", "pruned", "failed", "waiting"]] = {
    TrialState.RUNNING: "running",
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.WAITING: "waiting",
}
LEAST_TRIALS = 5
"""Importances of fewer complete trials say nothing."""


def row(trial: FrozenTrial) -> Trial:
    """One trial as clients see it; its value is its last one when it was pruned."""
    value = trial.value
    return Trial(
        number=trial.number,
        state=STATES[trial.state],
        params=trial.user_attrs.get("values", trial.params),
        value=value if value is not None and math.isfinite(value) else None,
        duration_seconds=trial.duration.total_seconds() if trial.duration else None,
        runner=trial.user_attrs.get("runner"),
        reason=trial.user_attrs.get("reason"),
    )


def sentence(trial: FrozenTrial, metric: str) -> str:
    """One line of log."""
    found = row(trial)
    values = ", ".join(f"{path} {_short(value)}" for path, value in found.params.items())
    result = f"{metric} {found.value:.4g}" if found.value is not None else "no value"
    return f"trial {found.number} {found.state}: {result} ({values})" + (f": {found.reason}" if found.reason else "")


def report(search: Search, notes: Sequence[str], val_samples: int) -> TuneReport:
    """Everything that is known of the search."""
    search.refresh()
    best = search.best()
    return TuneReport(
        metric=search.spec.metric,
        data=[row(trial) for trial in search.visible()],
        best=row(best) if best else None,
        importances=importances(search),
        notes=[*notes, *([] if search.spec.confirm_seeds else _noise(search, val_samples))],
    )


def importances(search: Search) -> dict[str, float]:
    """PED-ANOVA (arXiv 2304.10255): each parameter's share in reaching the top tenth; they sum to 1."""
    done = [trial for trial in search.finished() if trial.state is TrialState.COMPLETE]
    if len(done) < LEAST_TRIALS or len({trial.value for trial in done}) == 1:
        return {}
    # Brings scikit-learn along (1.4 s, 85 MB), which the forkserver therefore does not load for every job.
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # too few distinct values of a parameter, and the like
        found = get_param_importances(search.study, evaluator=PedAnovaImportanceEvaluator())
    return {name: share for name, share in found.items() if math.isfinite(share)}


def spread(search: Search, values: Sequence[float]) -> list[str]:
    """What the best configuration reached with several seeds, the search's own first."""
    if len(values) < 2:
        return []
    mean, deviation = statistics.fmean(values), statistics.stdev(values)
    seeds = range(search.spec.train.seed, search.spec.train.seed + len(values))
    listed = ", ".join(f"{value:.4g}" for value in values)
    notes = [
        f"the best values with seeds {seeds[0]} to {seeds[-1]}: {listed} (mean {mean:.4g}, standard deviation "
        f"{deviation:.2g})"
    ]
    rivals = [
        trial for trial in _ranked(search)[1:] if search.sign * (trial.value or 0.0) >= search.sign * mean - deviation
    ]
    if rivals:
        numbers = ", ".join(str(trial.number) for trial in rivals[:5])
        notes.append(f"within seed noise of the winner: trial {numbers}")
    return notes


def _noise(search: Search, val_samples: int) -> list[str]:
    """Says so when the winner leads by less than the standard error that so few val samples leave."""
    ranked = _ranked(search)
    if len(ranked) < 2 or search.spec.metric != "val/accuracy" or not val_samples:
        return []
    best, second = (float(trial.value or 0.0) for trial in ranked[:2])
    error = math.sqrt(max(best * (1 - best), 1 / val_samples) / val_samples)
    if best - second >= error:
        return []
    close = sum((trial.value or 0.0) > best - error for trial in ranked[1:])
    others = "1 other trial lies" if close == 1 else f"{close} other trials lie"
    return [
        f"{others} within one standard error ({error:.2g}, of {val_samples} val samples) of the best: "
        "the order among them is noise; `confirm_seeds` 2 measures it"
    ]


def _ranked(search: Search) -> list[FrozenTrial]:
    done = [trial for trial in search.finished() if trial.state is TrialState.COMPLETE and trial.value is not None]
    return sorted(done, key=lambda trial: -search.sign * (trial.value or 0.0))


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
