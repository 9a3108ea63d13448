"""The findings of a stored job: told once, told again when they return, withdrawn, and judged anew when asked for."""

import pytest

from service.errors import NotFoundError
from service.jobs import diagnose
from service.store import events
from service.store.session import Store
from tests.service.conftest import Harness
from tests.service.simulated_worker import HEALTHY, OVERFITTING, SimulatedWorker


def changes(store: Store, job_id: str) -> list[tuple[str, str]]:
    """Rule and change of each event about a finding, in order."""
    with store.read() as session:
        rows = events.after(session, job_id, 0, type="finding")
    return [(row.data["rule"], row.data["change"]) for row in rows]


def test_findings_are_told_once_and_withdrawn(harness: Harness, worker: SimulatedWorker) -> None:
    job_id = harness.submit(early_stopping=None)
    worker.end(worker.record_losses(job_id, OVERFITTING))
    with harness.store.begin() as session:
        present = diagnose.report(session, job_id).data
        assert diagnose.update(session, job_id, present) == present
        assert diagnose.update(session, job_id, present) == []
        assert diagnose.update(session, job_id, []) == []
    rules = [finding.rule for finding in present]
    assert changes(harness.store, job_id) == [(rule, "found") for rule in rules] + [(r, "withdrawn") for r in rules]
    with harness.store.read() as session:
        stored = diagnose.finding(session, job_id, rules[0])
    assert [entry["change"] for entry in stored.history] == ["found", "withdrawn"]


def test_finding_that_returns_or_gets_worse_is_told_again(harness: Harness, worker: SimulatedWorker) -> None:
    job_id = harness.submit(early_stopping=None)
    worker.end(worker.record_losses(job_id, OVERFITTING))
    with harness.store.begin() as session:
        finding = diagnose.report(session, job_id).data[0]
        mild = finding.model_copy(update={"confidence": finding.confidence - 0.2})
        for present in ([mild], [], [mild], [mild], [finding]):
            diagnose.update(session, job_id, present)
    assert [change for _, change in changes(harness.store, job_id)] == ["found", "withdrawn", "returned", "worse"]


def test_report_holds_what_is_found_now_and_what_was_withdrawn(harness: Harness, worker: SimulatedWorker) -> None:
    overfitting, healthy = harness.submit(early_stopping=None), harness.submit(early_stopping=None)
    worker.end(worker.record_losses(overfitting, OVERFITTING))
    worker.end(worker.record_losses(healthy, HEALTHY))
    with harness.store.begin() as session:
        present = diagnose.report(session, overfitting).data
        diagnose.update(session, healthy, present[:1])
        report = diagnose.report(session, healthy)
    assert all(finding.active for finding in present)
    withdrawn = [finding for finding in report.data if not finding.active]
    assert [finding.rule for finding in withdrawn] == [present[0].rule]


def test_only_trainings_are_judged(harness: Harness) -> None:
    job_id = harness.submit("sanity")
    with harness.store.read() as session:
        report = diagnose.report(session, job_id)
    assert (report.verdict, report.data) == ("not enough evidence", [])
    assert "a `sanity` job says what it found in its result" in report.missing[0]


def test_finding_goes_by_its_id_or_its_rule(harness: Harness) -> None:
    job_id = harness.submit(shuffle=False)
    with harness.store.read() as session:
        finding = diagnose.finding(session, job_id, "C2")
        assert diagnose.finding(session, job_id, finding.id) == finding
        with pytest.raises(NotFoundError, match="no finding `D1`"):
            diagnose.finding(session, job_id, "D1")
