"""Events become rows under the fencing token; what the database did not take stays."""

import math
from typing import Literal

import pytest
from sqlalchemy.orm import Session

from service.events import EpochRecord, FileSaved, Log, Phase, Progress, Resumed, StepRecord, Stopped
from service.jobs import completion
from service.specs import JOB_SPEC
from service.states import JobState, StopReason
from service.store import attempts, events, files, jobs, metrics
from service.store.attempts import Fence, LostLeaseError
from service.store.session import Store, now
from worker.attempt.recorder import URGENT_SECONDS, Recorder


@pytest.fixture
def fence(store: Store) -> Fence:
    """The first attempt at a job."""
    with store.begin() as session:
        job = jobs.create(session, JOB_SPEC.validate_python({"kind": "train", "dataset": "d"}))
        claim = attempts.claim(session, job.id, "w1", 60)
    assert claim is not None
    return claim.fence


def saved(store: Store, role: Literal["last", "best"], name: str, step: int) -> FileSaved:
    """A file in the scratch folder; always at the same path."""
    path = store.settings.home / f"{role}.bin"
    path.write_text(f"{name} at {step}")
    return FileSaved(role, name, path, step)


def test_events_of_a_run_become_rows(store: Store, fence: Fence) -> None:
    recorder = Recorder(store, fence)
    recorder.add(Phase("training"))
    recorder.add(StepRecord(1, 1, {"train/loss": 2.0}))
    recorder.add(StepRecord(2, 1, {"train/loss": 1.9}))
    recorder.add(EpochRecord(1, 2, {"loss": 2.0}, {"loss": 1.9}, 0.1, 0.5))
    recorder.add(Progress(0.5))
    recorder.add(Log("half way"))
    recorder.add(Stopped(StopReason.COMPLETED))
    recorder.flush()
    with store.read() as session:
        row = jobs.get(session, fence.job_id)
        kinds = [event.type for event in events.after(session, fence.job_id, 0)]
        steps = metrics.read(session, fence.job_id, ["train/loss"])["train/loss"]["step"].tolist()
    assert (row.phase, row.progress) == ("training", 0.5)
    assert kinds == ["state", "state", "phase", "epoch", "log", "metric", "progress"]
    assert steps == [1, 2]
    assert recorder.stop_reason is StopReason.COMPLETED


def test_a_loss_that_is_no_number_is_found_at_once(store: Store, fence: Fence) -> None:
    recorder = Recorder(store, fence)
    recorder.add(StepRecord(1, 1, {"train/loss": float("nan")}))
    recorder.flush()
    with store.read() as session:
        findings = events.after(session, fence.job_id, 0, type="finding")
        value = metrics.read(session, fence.job_id)["train/loss"]["value"][0]
    assert [event.data["rule"] for event in findings] == ["D1"]
    assert math.isnan(value)


def test_the_first_step_and_a_phase_are_due_soon_and_the_next_step_is_not(store: Store, fence: Fence) -> None:
    recorder = Recorder(store, fence)
    recorder.flush()
    for urgent in (Phase("training"), StepRecord(1, 1, {"train/loss": 2.0})):
        assert recorder.seconds_until_due > URGENT_SECONDS
        recorder.add(urgent)
        assert recorder.seconds_until_due <= URGENT_SECONDS
        recorder.flush()
    recorder.add(StepRecord(2, 1, {"train/loss": 2.0}))
    assert recorder.seconds_until_due > URGENT_SECONDS


def test_the_last_records_and_the_end_are_written_together_or_not_at_all(store: Store, fence: Fence) -> None:
    recorder = Recorder(store, fence)
    recorder.add(StepRecord(1, 1, {"train/loss": 2.0}))

    def end(session: Session) -> list[str]:
        return completion.end(session, fence.job_id, JobState.SUCCEEDED, fence=fence)

    def break_off(session: Session) -> list[str]:
        end(session)
        raise LostLeaseError(fence.job_id)

    with pytest.raises(LostLeaseError):
        recorder.flush(break_off)
    with store.read() as session:
        assert metrics.names(session, fence.job_id) == []
        assert jobs.get(session, fence.job_id).state == JobState.RUNNING
    assert recorder.flush(end) == []
    with store.read() as session:
        assert metrics.names(session, fence.job_id) == ["train/loss"]
        assert jobs.get(session, fence.job_id).state == JobState.SUCCEEDED


def test_a_batch_renews_the_lease(store: Store, fence: Fence) -> None:
    with store.begin() as session:
        attempts.lock(session, fence, lease_until=now(session))
        before = now(session)
    recorder = Recorder(store, fence)
    recorder.add(Phase("training"))
    recorder.flush()
    with store.read() as session:
        lease_until = jobs.get(session, fence.job_id).lease_until
    assert lease_until is not None
    assert lease_until > before


def test_a_stale_attempt_writes_nothing(store: Store, fence: Fence) -> None:
    recorder = Recorder(store, fence)
    with store.begin() as session:
        completion.requeue(session, fence, lost=True)
    recorder.add(StepRecord(1, 1, {"train/loss": 2.0}))
    recorder.add(saved(store, "last", "step-1.pt", 1))
    with pytest.raises(LostLeaseError):
        recorder.flush()
    with store.read() as session:
        assert metrics.names(session, fence.job_id) == []
        assert files.of(session, fence.job_id) == []


def test_files_that_lie_at_one_path_are_each_kept(store: Store, fence: Fence) -> None:
    recorder = Recorder(store, fence)
    for step in (10, 20):
        recorder.add(saved(store, "best", f"best-{step}", step))
    recorder.flush()
    with store.read() as session:
        contents = {row.name: b"".join(store.artifacts.read(row.artifact)) for row in files.of(session, fence.job_id)}
    assert contents == {"best-10": b"best-10 at 10", "best-20": b"best-20 at 20"}


def test_two_resume_states_and_the_newest_of_a_name_are_kept_and_nothing_else(store: Store, fence: Fence) -> None:
    recorder = Recorder(store, fence)
    for step in (10, 20, 30):
        recorder.add(saved(store, "last", f"step-{step}", step))
        recorder.add(saved(store, "best", "best", step))
        recorder.flush()
    with store.read() as session:
        rows = files.of(session, fence.job_id)
    assert [(row.name, row.step) for row in rows if row.role == "last"] == [("step-30", 30), ("step-20", 20)]
    assert [(row.name, row.step) for row in rows if row.role == "best"] == [("best", 30)]
    assert store.artifacts.keys("jobs") == sorted(row.artifact for row in rows)


def test_a_resumed_run_voids_what_came_after_its_checkpoint(store: Store, fence: Fence) -> None:
    recorder = Recorder(store, fence)
    for step in range(1, 10):
        recorder.add(StepRecord(step, 1, {"train/loss": 1.0}))
    recorder.flush()
    recorder.add(Resumed(5, 1, True))
    recorder.add(StepRecord(6, 1, {"train/loss": 2.0}))
    recorder.flush()
    with store.read() as session:
        points = metrics.read(session, fence.job_id)["train/loss"]
        assert jobs.get(session, fence.job_id).resume == "exact"
    assert points["value"].tolist() == [1.0] * 5 + [2.0]


def test_a_batch_that_could_not_be_written_is_written_later(store: Store, fence: Fence) -> None:
    recorder = Recorder(store, fence)
    recorder.add(StepRecord(1, 1, {"train/loss": 2.0}))
    recorder.add(saved(store, "last", "step-1", 1))
    artifacts = store.settings.home / "artifacts"
    artifacts.write_text("in the way")
    with pytest.raises(OSError, match="artifacts"):
        recorder.flush()
    artifacts.unlink()
    recorder.flush()
    with store.read() as session:
        assert [row.name for row in files.of(session, fence.job_id)] == ["step-1"]
        assert len(metrics.read(session, fence.job_id)["train/loss"]) == 1
