"""What a search publishes: its trials as they change, and in the end all of them, the best one and what mattered.

The study is the truth of the trials, whichever runner they came from. Only the search's main process publishes them,
and a search that goes on after a crash publishes everything again.
"""

import math
import time
import warnings
from collections.abc import Iterator
from typing import Literal

from optuna.trial import FrozenTrial, TrialState

from service.events import Event, Log, Reported, StepRecord
from service.reports.names import ReportName
from service.reports.result import Importances, TrainResult, Trial, TuneReport
from worker.engine.tune.noise import narrow_lead
from worker.engine.tune.study import Study
from worker.engine.tune.trial import curve_point

STATES: dict[TrialState, Literal["running", "complete", "pruned", "failed", "waiting"]] = {
    TrialState.RUNNING: "running",
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.WAITING: "waiting",
}
REFRESH_SECONDS, IMPORTANCES_SECONDS = 1.0, 30.0
LEAST_TRIALS = 5
"""Importances of fewer complete trials say nothing."""


class Report:
    """Publishes a study; remembers what it has published of each trial."""

    def __init__(self, study: Study) -> None:
        self.study = study
        self.notes: list[str] = []
        self._states: dict[int, TrialState] = {}
        self._epochs: dict[int, int] = {}
        self._refresh_at = 0.0
        self._importances_at = time.monotonic() + IMPORTANCES_SECONDS

    def passed_on(self, record: StepRecord) -> None:
        """Notes that a point of a trial's curve was published by its own runner in this process."""
        for name in record.values:
            self._epochs[int(name.split("/")[1])] = record.epoch

    @property
    def is_due(self) -> bool:
        """Whether it is time to look at what other runners have done."""
        return time.monotonic() >= self._refresh_at

    def changes(self) -> Iterator[Event]:
        """Publishes changes of the study as events: rows and curves of trials, progress, now and then importances."""
        self.study.refresh()
        self._refresh_at = time.monotonic() + REFRESH_SECONDS
        before = self._ended()
        for trial in self.study.visible():
            if not self._states.get(trial.number, TrialState.WAITING).is_finished():
                yield from self._changes_of(trial)
        if self._ended() == before:
            return
        yield self.study.progress()
        if time.monotonic() >= self._importances_at:  # they take longer than all the rest
            yield Reported(ReportName.IMPORTANCES, Importances(data=importances(self.study)))
            self._importances_at = time.monotonic() + IMPORTANCES_SECONDS

    def _ended(self) -> int:
        return sum(state.is_finished() for state in self._states.values())

    def _changes_of(self, trial: FrozenTrial) -> Iterator[Event]:
        for epoch, value in sorted(trial.intermediate_values.items()):
            if epoch > self._epochs.get(trial.number, 0):
                yield curve_point(trial.number, epoch, self.study.spec.metric, value)
                self._epochs[trial.number] = epoch
        if trial.state is self._states.get(trial.number):
            return
        self._states[trial.number] = trial.state
        yield Reported(ReportName.TRIAL.of(trial.number), row(trial))
        if trial.state.is_finished():
            yield Log(sentence(trial, self.study.spec.metric))

    def result(self, val_samples: int, best_result: TrainResult | None = None) -> Reported:
        """Everything that is known of the search."""
        study = self.study
        study.refresh()
        best = study.best()
        noise = [] if study.spec.confirm_seeds else narrow_lead(study, val_samples)
        report = TuneReport(
            metric=study.spec.metric,
            data=[row(trial) for trial in study.visible()],
            best=row(best) if best else None,
            best_result=best_result,
            importances=importances(study),
            notes=[*self.notes, *noise],
        )
        return Reported(ReportName.RESULT, report)


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
    ended = row(trial)
    values = ", ".join(f"{path} {_short(value)}" for path, value in ended.params.items())
    result = f"{metric} {ended.value:.4g}" if ended.value is not None else "no value"
    return f"trial {ended.number} {ended.state}: {result} ({values})" + (f": {ended.reason}" if ended.reason else "")


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def importances(study: Study) -> dict[str, float]:
    """PED-ANOVA (arXiv 2304.10255): each parameter's share in reaching the top tenth; they sum to 1."""
    complete = study.ranked()
    if len(complete) < LEAST_TRIALS or len({trial.value for trial in complete}) == 1:
        return {}
    # Brings scikit-learn along (1.4 s, 85 MB), which the forkserver therefore does not load for every job.
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # too few distinct values of a parameter, and the like
        shares = get_param_importances(study.optuna_study, evaluator=PedAnovaImportanceEvaluator())
    return {name: share for name, share in shares.items() if math.isfinite(share)}
