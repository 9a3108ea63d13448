"""What a job measured and concluded: curves, series of points, reports by name and form, trials while a search runs."""

import math

import pytest

from service.errors import NotFoundError, NotReadyError
from service.events import StepRecord
from service.jobs.results import curves, metrics_report, series, stored_report, trials
from service.reports.classification import ConfusionReport
from service.reports.names import ReportName
from service.reports.result import Importances, LrCurve, SanityReport, TrainResult, Trial, TuneReport
from service.specs import JOB_SPEC
from service.store import jobs
from tests.service.conftest import Harness
from tests.service.simulated_worker import SimulatedWorker


@pytest.fixture
def trained(harness: Harness, worker: SimulatedWorker) -> str:
    """Id of a job that has trained."""
    job_id = harness.submit()
    worker.train(job_id)
    return job_id


def search(harness: Harness, metric: str = "val/accuracy") -> str:
    """Id of a search."""
    space = {"optimizer.lr": {"type": "float", "low": 1e-4, "high": 1e-2}}
    fields = {"kind": "tune", "train": {"dataset": "digits"}, "search_space": space, "metric": metric}
    with harness.store.begin() as session:
        return jobs.create(session, JOB_SPEC.validate_python(fields)).id


def names_of(harness: Harness, job_id: str, patterns: list[str] | None, from_step: int = 0) -> dict[str, int]:
    """Name of each series that is read -> its first step."""
    with harness.store.read() as session:
        points = series(session, job_id, patterns, from_step=from_step, max_points=100)
    return {name: int(array["step"][0]) for name, array in points.items()}


def test_curves_name_the_best_epoch(harness: Harness, trained: str) -> None:
    with harness.store.read() as session:
        report = curves(session, trained)
        with pytest.raises(NotFoundError):
            curves(session, "none")
    assert ([epoch.epoch for epoch in report.epochs], report.best_epoch) == ([1, 2, 3], 3)


def test_series_are_chosen_by_patterns(harness: Harness, trained: str) -> None:
    assert names_of(harness, trained, ["train/*", "lr/group0"]) == {"lr/group0": 1, "train/loss": 1}
    assert names_of(harness, trained, ["train/loss"], from_step=25) == {"train/loss": 25}
    assert names_of(harness, trained, []) == {}
    assert {"train/loss", "val/loss", "epoch/lr"} <= names_of(harness, trained, None).keys()


def test_values_that_are_not_finite_are_null_and_flagged(harness: Harness, worker: SimulatedWorker) -> None:
    job_id = harness.submit()
    fence = worker.claim(job_id).fence
    values = [math.nan, math.inf, -math.inf, 1.0]
    worker.record(fence, [StepRecord(step=n, epoch=1, values={"x": value}) for n, value in enumerate(values, 1)])
    with harness.store.read() as session:
        report = metrics_report(series(session, job_id, None, from_step=0, max_points=100))
    assert [(point.value, point.flag) for point in report.series[0].points] == [
        (None, "nan"),
        (None, "inf"),
        (None, "-inf"),
        (1.0, None),
    ]


def test_report_is_given_where_the_job_has_one_of_that_form(harness: Harness, trained: str) -> None:
    with harness.store.read() as session:
        assert stored_report(session, trained, ReportName.RESULT, TrainResult).epochs == 3
        confusion = stored_report(session, trained, ReportName.CONFUSION.of("val"), ConfusionReport)
        assert confusion.split == "val"
        for model in (LrCurve, SanityReport):
            with pytest.raises(NotReadyError, match=r"This train job \(succeeded\) has no result of that form"):
                stored_report(session, trained, ReportName.RESULT, model)
        with pytest.raises(NotReadyError, match="has no trials"):
            trials(session, trained)


def test_report_of_a_job_that_has_not_run_is_not_there(harness: Harness) -> None:
    job_id = harness.submit()
    with harness.store.read() as session, pytest.raises(NotReadyError, match="has no confusion on test"):
        stored_report(session, job_id, ReportName.CONFUSION.of("test"), ConfusionReport)


@pytest.mark.parametrize(("metric", "best"), [("val/accuracy", 1), ("val/loss", 0)])
def test_trials_are_shown_while_the_search_runs(
    harness: Harness, worker: SimulatedWorker, metric: str, best: int
) -> None:
    job_id = search(harness, metric)
    fence = worker.claim(job_id).fence
    for number, value in enumerate([0.7, 0.9, None]):
        state = "complete" if value else "running"
        trial = {"number": number, "state": state, "params": {}, "value": value, "duration_seconds": 1.0}
        worker.report(fence, ReportName.TRIAL.of(number), Trial.model_validate(trial))
    with harness.store.read() as session:
        assert trials(session, job_id).importances == {}
    worker.report(fence, ReportName.IMPORTANCES, Importances(data={"optimizer.lr": 1.0}))
    with harness.store.read() as session:
        report = trials(session, job_id)
    assert [trial.state for trial in report.data] == ["complete", "complete", "running"]
    assert report.best is not None
    assert (report.best.number, report.importances) == (best, {"optimizer.lr": 1.0})


def test_trials_of_a_search_that_has_ended_are_its_result(harness: Harness, worker: SimulatedWorker) -> None:
    job_id = search(harness)
    fence = worker.claim(job_id).fence
    result = TuneReport(metric="val/accuracy", data=[], best=None, importances={}, notes=["no trial was completed"])
    worker.report(fence, ReportName.RESULT, result)
    worker.end(fence)
    with harness.store.read() as session:
        assert trials(session, job_id) == result
