"""Jobs that need other jobs: they wait, are set free, or fail with the reason; nobody waits for ever."""

import pytest

from service.datasets import imports
from service.errors import GateError, InUseError, WorkerLostError
from service.jobs import actions, completion, transitions
from service.reports.dataset import DatasetContent, DatasetMeta, Profile
from service.specs.dataset import BuiltinSource
from service.states import DatasetState, JobState
from service.store import attempts, datasets, jobs
from service.store.tables import DatasetRow, JobRow
from tests.service.conftest import Harness, spec


def reason(harness: Harness, job_id: str) -> str:
    """Why the job failed."""
    error = harness.job(job_id).error
    assert error is not None
    return f"{error['code']}: {error['detail']}"


def test_job_waits_until_all_it_needs_have_succeeded(harness: Harness) -> None:
    first, second = harness.submit(), harness.submit()
    waiting = harness.submit(needs=[first, second])
    assert harness.try_claim(waiting) is None
    assert harness.end(harness.claim(first)) == []
    assert harness.try_claim(waiting) is None
    assert harness.end(harness.claim(second)) == [waiting]
    assert harness.job(waiting).notified_at is None
    assert harness.try_claim(waiting) is not None


@pytest.mark.parametrize("end", [JobState.FAILED, JobState.CANCELLED])
def test_job_fails_with_what_it_needed(harness: Harness, end: JobState) -> None:
    first = harness.submit()
    second = harness.submit(needs=[first])
    third = harness.submit(needs=[second])
    fence = harness.claim(first)
    if end is JobState.CANCELLED:
        with harness.store.begin() as session:
            transitions.request_cancel(session, first)
    assert harness.end(fence, end) == []
    assert [harness.state(job_id) for job_id in (second, third)] == [JobState.FAILED, JobState.FAILED]
    assert reason(harness, second).startswith(f"{GateError.code}: the train job {first}")
    assert second in reason(harness, third)


def test_cancelling_a_waiting_job_fails_who_needs_it(harness: Harness) -> None:
    first = harness.submit()
    second = harness.submit(needs=[first])
    with harness.store.begin() as session:
        assert actions.cancel(session, first)[1] == []
    assert harness.state(second) == JobState.FAILED


def test_paused_job_whose_need_failed_ends_too(harness: Harness) -> None:
    first = harness.submit()
    second = harness.submit(needs=[first])
    fence = harness.claim(first)
    with harness.store.begin() as session:
        transitions.request_pause(session, second)
    harness.end(fence, JobState.FAILED)
    assert harness.state(first) == JobState.FAILED
    assert harness.state(second) in (JobState.FAILED, JobState.PAUSED)
    if harness.state(second) == JobState.PAUSED:
        with harness.store.begin() as session:
            transitions.resume(session, second)
            completion.update_dependents(session, first)
        assert harness.state(second) == JobState.FAILED


def test_sanity_gate_opens_only_for_a_pass(harness: Harness) -> None:
    good, bad = harness.submit("sanity"), harness.submit("sanity")
    behind_good, behind_bad = harness.submit(needs=[good]), harness.submit(needs=[bad])
    assert harness.end(harness.claim(good), passed=True) == [behind_good]
    assert harness.end(harness.claim(bad), passed=False) == []
    assert harness.state(behind_good) == JobState.QUEUED
    assert "did not pass: the learning rate is too low" in reason(harness, behind_bad)


def test_job_behind_a_missed_gate_fails_as_soon_as_it_is_made(harness: Harness) -> None:
    bad = harness.submit("sanity")
    waiting = harness.submit(needs=[bad])
    with harness.store.begin() as session:
        completion.fail_behind_missed_gate(session, waiting)
    assert harness.state(waiting) == JobState.QUEUED
    harness.end(harness.claim(bad), passed=False)
    late = harness.submit(needs=[bad])
    with harness.store.begin() as session:
        completion.fail_behind_missed_gate(session, late)
    assert "did not pass" in reason(harness, late)


def test_needed_job_is_not_removed_under_a_waiting_one(harness: Harness) -> None:
    first = harness.submit()
    second = harness.submit(needs=[first])
    with harness.store.begin() as session, pytest.raises(InUseError, match=second):
        jobs.remove(session, first)


def importing(harness: Harness) -> tuple[DatasetRow, str]:
    """A dataset whose import waits, and the id of a job that waits for it."""
    with harness.store.begin() as session:
        row = imports.create(session, "digits", BuiltinSource(kind="builtin"))
        waiting = jobs.create(session, spec(), dataset_id=row.id, needs=[(row.job_id, "dataset")])
        return row, waiting.id


def test_import_fills_its_dataset_and_frees_who_waits(harness: Harness) -> None:
    row, waiting = importing(harness)
    fence = harness.claim(row.job_id)
    with harness.store.begin() as session:
        attempts.lock(session, fence)
        imports.fill(session, row.id, DatasetContent(hash="h" * 64, profile=a_profile()))
    assert harness.end(fence) == [waiting]
    with harness.store.read() as session:
        ready = datasets.get(session, "digits")
        assert (ready.state, ready.hash) == (DatasetState.READY, "h" * 64)
        assert datasets.profile(ready) == a_profile()
        assert datasets.get(session, row.id).name == "digits"


def test_failed_import_fails_its_dataset_and_who_waits(harness: Harness) -> None:
    row, waiting = importing(harness)
    fence = harness.claim(row.job_id)
    with harness.store.begin() as session:
        error = WorkerLostError("the worker was lost").problem()
        completion.end(session, row.job_id, JobState.FAILED, fence=fence, error=error)
    with harness.store.read() as session:
        assert datasets.get(session, "digits").state == DatasetState.FAILED
        assert session.get_one(JobRow, row.job_id).error == error.model_dump(mode="json")
    assert "the worker was lost" in reason(harness, waiting)


def a_profile() -> Profile:
    """A profile of ten images."""
    meta = DatasetMeta(
        modality="image",
        classes=["0", "1"],
        shape=[8, 8, 1],
        counts={"train": 8, "val": 1, "test": 1},
        mean=[0.3],
        std=[0.2],
    )
    return Profile(meta=meta, class_counts={"train": {"0": 4, "1": 4}}, dtype="uint8", value_range=(0.0, 255.0))
