"""The job that follows from a finding: it has the remedy's patch, is linked to the finding, and is judged."""

import pytest

from service.errors import InvalidRequestError
from service.jobs import diagnose, follow_up
from service.jobs.follow_up import outcome_text
from service.states import JobState, Relation
from service.store import jobs
from tests.service.conftest import Harness
from tests.service.simulated_worker import HEALTHY, SimulatedWorker


def test_remedy_becomes_a_linked_job_whose_outcome_is_told(harness: Harness, worker: SimulatedWorker) -> None:
    worker.dataset(samples=2000)
    job_id = harness.submit(shuffle=False)
    worker.end(worker.record_losses(job_id, HEALTHY))
    settings = harness.store.settings
    with harness.store.begin() as session:
        finding = diagnose.finding(session, job_id, "C2")
        preview = follow_up.preview(session, settings, job_id, finding)
        assert len(jobs.list_page(session)[0]) == 1
        child, startable = follow_up.apply(session, settings, job_id, finding)(session)
    assert startable == [child.id]
    assert (child.parent, child.relation) == (job_id, Relation.FOLLOW_UP)
    assert child.spec["shuffle"] is True
    assert child.spec == preview.spec
    with harness.store.read() as session:
        outcome = diagnose.finding(session, job_id, "C2").outcome or {}
    assert (outcome["job"], outcome["state"]) == (child.id, "queued")
    worker.end(worker.record_losses(child.id, HEALTHY, val_accuracy=0.88))
    with harness.store.read() as session:
        outcome = diagnose.finding(session, job_id, "C2").outcome or {}
    assert (outcome["finding_gone"], outcome["helped"]) == (True, True)
    assert (outcome["best_val_accuracy_before"], outcome["best_val_accuracy_after"]) == (0.8, 0.88)


def test_remedy_that_no_change_of_the_spec_can_bring_is_refused(harness: Harness) -> None:
    job_id = harness.submit(shuffle=False)
    with harness.store.begin() as session:
        finding = diagnose.finding(session, job_id, "C2")
        advice = finding.model_copy(update={"remedy": finding.remedy.model_copy(update={"patch": {}})})
        with pytest.raises(InvalidRequestError, match="No change of the spec can help"):
            follow_up.apply(session, harness.store.settings, job_id, advice)


@pytest.mark.parametrize(
    ("state", "is_gone", "after", "words"),
    [
        (JobState.RUNNING, None, None, "is running; whether it helps is told when it has ended"),
        (JobState.FAILED, True, 0.9, "ended as failed"),
        (JobState.SUCCEEDED, True, 0.9, "It helped: D9 is no longer found, and the best validation accuracy rose by"),
        (JobState.SUCCEEDED, True, 0.9, "rose by 10.0 points, from 80.0 to 90.0 %."),
        (JobState.SUCCEEDED, True, 0.7, "It helped only in part"),
        (JobState.SUCCEEDED, False, 0.8, "D9 is still found. The best validation accuracy stayed at 80.0 %."),
    ],
)
def test_outcome_is_told_in_words(state: JobState, is_gone: bool | None, after: float | None, words: str) -> None:
    assert words in outcome_text("D9", state, is_gone, 0.8, after)


def test_run_that_ended_no_epoch_is_compared_by_what_the_next_one_reached() -> None:
    words = "It helped: D1 is no longer found, and validation accuracy reached 96.6 %."
    assert outcome_text("D1", JobState.SUCCEEDED, True, None, 0.966) == words
