"""Runs as a whole: what reproduces one, and where several differ."""

import pytest

from service.errors import InUseError
from service.jobs import actions, diagnose
from service.jobs.bundles import bundle, compare
from service.jobs.submit import submit
from service.specs import JOB_SPEC
from service.specs.dataset import BuiltinSource
from service.store import reports
from tests.service.conftest import Harness
from tests.service.simulated_worker import SimulatedWorker


def submitted(harness: Harness, **fields: object) -> str:
    """Id of a job that was submitted."""
    spec = JOB_SPEC.validate_python({"kind": "train", "dataset": "digits", **fields})
    with harness.store.begin() as session:
        return submit(session, harness.store.settings, spec).report.id


def test_bundle_holds_what_reproduces_a_run(harness: Harness, worker: SimulatedWorker) -> None:
    dataset = worker.dataset()
    job_id = submitted(harness, seed=7)
    worker.train(job_id)
    with harness.store.read() as session:
        report = bundle(session, job_id)
    source = BuiltinSource(kind="builtin").model_dump(mode="json")
    assert report.dataset == {"id": dataset.id, "name": "digits", "hash": "a" * 64, "source": source}
    assert report.seeds == {"seed": 7}
    assert report.spec["optimizer"]["weight_decay"] == 0.01
    assert set(report.reports) == {"confusion:test", "confusion:val", "report:test", "report:val", "result"}
    assert {"trainwright", "torch"} <= set(report.versions)
    assert report.machine is not None
    assert report.machine.threads == 2
    assert [file.name for file in report.files] == ["model.safetensors"]


def test_a_bundle_holds_the_values_that_its_job_took_from_others(harness: Harness, worker: SimulatedWorker) -> None:
    worker.dataset()
    finder = harness.submit("lr-find")
    job_id = submitted(harness, optimizer={"lr": {"from_job": finder}})
    with harness.store.read() as session:
        assert bundle(session, job_id).spec["optimizer"]["lr"] == {"from_job": finder}
    fence = harness.claim(finder)
    with harness.store.begin() as session:
        reports.put(session, finder, fence.attempt, "result", {"suggested": 0.0125})
    harness.end(fence)
    with harness.store.read() as session:
        assert bundle(session, job_id).spec["optimizer"]["lr"] == 0.0125
    harness.end(harness.claim(job_id))
    with pytest.raises(InUseError, match=job_id):
        actions.delete(harness.store, finder, force=False)
    actions.delete(harness.store, finder, force=True)


def test_bundle_of_a_job_that_has_not_run_holds_what_is_known(harness: Harness) -> None:
    job_id = harness.submit()
    with harness.store.read() as session:
        report = bundle(session, job_id)
    assert (report.dataset, report.machine, report.reports, report.curves.epochs) == ({}, None, {}, [])
    assert set(report.versions) == {"trainwright"}


def test_runs_are_compared_side_by_side(harness: Harness, worker: SimulatedWorker) -> None:
    worker.dataset()
    first, second = submitted(harness), submitted(harness, epochs=3, optimizer={"lr": 0.01})
    with harness.store.read() as session:
        comparison = compare(session, [first, second])
    assert [column.job.id for column in comparison.data] == [first, second]
    assert comparison.differences == {"epochs": [20, 3], "optimizer.lr": [0.001, 0.01]}


def test_comparison_counts_the_findings_that_hold(harness: Harness) -> None:
    job_id = harness.submit(shuffle=False)
    with harness.store.begin() as session:
        present = diagnose.report(session, job_id).data
        counts = []
        for held in ([], present, []):
            diagnose.update(session, job_id, held)
            counts.append(compare(session, [job_id]).data[0].findings)
    assert counts == [0, 1, 0]
