"""Attempts: one worker claims a job, renews its lease, and hears what is asked of it."""

import pytest

from service.store import attempts
from service.store.attempts import AttemptStatus, Fence
from tests.service.conftest import Harness, spec


def test_claim_wins_once(harness: Harness) -> None:
    job_id = harness.submit()
    claim = harness.try_claim(job_id, "w1")
    assert claim is not None
    assert claim.fence == Fence(job_id, 1, "w1")
    assert claim.spec == spec()
    assert harness.try_claim(job_id, "w2") is None
    row = harness.job(job_id)
    assert (row.state, row.worker_id, row.attempt) == ("running", "w1", 1)
    assert row.started_at is not None
    assert row.lease_until is not None
    assert (row.lease_until - row.started_at).total_seconds() == pytest.approx(60, abs=1)


def test_claim_of_unknown_job_is_a_no_op(harness: Harness) -> None:
    assert harness.try_claim("no-such-job") is None


def test_heartbeat_renews_the_lease(harness: Harness) -> None:
    job_id = harness.submit()
    fence = harness.claim(job_id, lease_seconds=1)
    before = harness.job(job_id).lease_until
    with harness.store.begin() as session:
        assert attempts.heartbeat(session, fence, 100) is AttemptStatus.CURRENT
    after = harness.job(job_id).lease_until
    assert before is not None
    assert after is not None
    assert (after - before).total_seconds() > 90


def test_jobs_that_can_start_are_ordered_by_priority_then_age(harness: Harness) -> None:
    low, first, second = harness.submit(priority=-1), harness.submit(), harness.submit()
    urgent = harness.submit(priority=5)
    harness.submit(priority=9, needs=[low])
    with harness.store.read() as session:
        assert [row.id for row in attempts.startable(session)] == [urgent, first, second, low]
