"""The queue: how many jobs wait, in which order, and for what."""

from service.jobs import completion, queue, transitions
from service.specs import STORED_SPEC
from service.states import JobState
from service.store import attempts, jobs, workers
from service.store.session import now
from tests.service.conftest import Harness


def register_worker(harness: Harness) -> None:
    """A worker with one slot."""
    with harness.store.begin() as session:
        workers.register(session, "w1", host="h", pid=1, slots=1, devices=[])


def test_queue_is_ordered_by_priority_then_age_and_tells_what_each_job_waits_for(harness: Harness) -> None:
    register_worker(harness)
    low, first = harness.submit(priority=-1), harness.submit(name="first")
    urgent = harness.submit("sanity", priority=5)
    blocked = harness.submit(priority=9, needs=[low])
    with harness.store.read() as session:
        assert [(job.job, job.position, job.reason) for job in queue.waiting(session, 10)] == [
            (blocked, 1, f"waits for the train job {low} (queued)"),
            (urgent, 2, "waits for a free worker; 1 ahead"),
            (first, 3, "waits for a free worker; 2 ahead"),
            (low, 4, "waits for a free worker; 3 ahead"),
        ]
        assert [(job.name, job.kind) for job in queue.waiting(session, 3)][1:] == [(None, "sanity"), ("first", "train")]
        assert queue.count(session) == 4


def test_jobs_that_run_or_have_ended_have_no_place(harness: Harness) -> None:
    running, ended, waiting = harness.submit(), harness.submit(), harness.submit()
    harness.claim(running)
    harness.end(harness.claim(ended))
    with harness.store.read() as session:
        rows = [jobs.get(session, job_id) for job_id in (running, ended, waiting)]
        assert list(queue.places(session, rows)) == [waiting]
        assert queue.count(session) == 1


def test_jobs_are_told_when_no_worker_is_running(harness: Harness) -> None:
    harness.submit()
    with harness.store.read() as session:
        assert [job.reason for job in queue.waiting(session, 10)] == ["waits for a worker: none is running"]


def test_a_job_that_asks_for_a_gpu_waits_for_a_worker_that_has_one(harness: Harness) -> None:
    register_worker(harness)
    train, anywhere = harness.submit(device="cuda"), harness.submit()
    space = {"optimizer.lr": {"type": "float", "low": 1e-4, "high": 1e-2}}
    tune = {"kind": "tune", "train": {"dataset": "digits", "device": "cuda"}, "search_space": space}
    with harness.store.begin() as session:
        search = jobs.create(session, STORED_SPEC.validate_python(tune)).id
    with harness.store.read() as session:
        assert [row.id for row in attempts.startable(session, gpu=False)] == [anywhere]
        assert [row.id for row in attempts.startable(session)] == [train, anywhere, search]
        reasons = {job.job: job.reason for job in queue.waiting(session, 3)}
    assert reasons[train] == reasons[search] == "waits for a worker with a GPU, as the spec asks: none is running"
    assert reasons[anywhere] == "waits for a free worker; 1 ahead"
    with harness.store.begin() as session:
        assert attempts.claim(session, train, "w1", 60, gpu=False) is None
        workers.register(session, "w2", host="h", pid=2, slots=1, devices=[{"device": "cuda:0"}])
        assert queue.waiting(session, 1)[0].reason == "waits for a free worker"
        assert attempts.claim(session, train, "w2", 60) is not None


def test_every_state_is_counted(harness: Harness) -> None:
    harness.submit()
    harness.end(harness.claim(harness.submit()), JobState.FAILED)
    with harness.store.read() as session:
        counts = queue.count_by_state(session)
    assert {state: count for state, count in counts.items() if count} == {JobState.QUEUED: 1, JobState.FAILED: 1}
    assert set(counts) == set(JobState)


def test_a_held_job_is_passed_by_until_its_time_has_come_and_says_why(harness: Harness) -> None:
    register_worker(harness)
    job_id = harness.submit()
    reasons = []
    for _ in range(3):
        hold(harness, job_id)
        assert harness.try_claim(job_id) is None
        with harness.store.read() as session:
            assert attempts.startable(session) == []
            reasons += [job.reason for job in queue.waiting(session, 1)]
        row = harness.job(job_id)
        assert row.held_until is not None
        until, waits = row.held_until, 100 * 2 ** (row.holds - 1)
        with harness.store.begin() as session:
            assert waits - 10 < (until - now(session)).total_seconds() <= waits
            jobs.get(session, job_id).held_until = now(session)
    assert reasons[0].startswith("the disk is full; it is tried again at ")
    row = harness.job(job_id)
    assert (row.holds, row.lost_attempts) == (3, 0)
    with harness.store.read() as session:
        assert [job.reason for job in queue.waiting(session, 1)] == ["waits for a free worker"]


def test_a_held_job_that_is_resumed_waits_no_longer(harness: Harness) -> None:
    job_id = harness.submit()
    hold(harness, job_id)
    with harness.store.begin() as session:
        transitions.request_pause(session, job_id)
        transitions.resume(session, job_id)
    assert harness.try_claim(job_id) is not None


def hold(harness: Harness, job_id: str) -> None:
    """An attempt that meets a full disk."""
    fence = harness.claim(job_id)
    with harness.store.begin() as session:
        completion.hold(session, fence, "the disk is full", 100.0)
