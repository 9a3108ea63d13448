"""What is done to stored jobs: cancel, pause, resume, retry, clone, relabel, delete; a planner does it as people do."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from service.errors import (
    BusyError,
    FilesDeletedError,
    InUseError,
    InvalidRequestError,
    NotFoundError,
    SpecError,
    StateError,
)
from service.jobs import actions, runners
from service.jobs.bundles import bundle
from service.jobs.reports import job_report
from service.jobs.submit import submit
from service.specs import JOB_SPEC, AnyJobSpec
from service.specs.requests import JobChanges
from service.specs.tune import TuneSpec
from service.states import JobState, Relation
from service.store import events, files, jobs, studies
from service.store.jobs import Parent
from tests.service.conftest import Harness
from tests.service.simulated_worker import SimulatedWorker


def job_spec(**fields: Any) -> AnyJobSpec:
    """A spec as a client sends it."""
    return JOB_SPEC.validate_python({"kind": "train", "dataset": "digits", **fields})


def submitted(harness: Harness, **fields: Any) -> str:
    """Id of a job that was submitted."""
    with harness.store.begin() as session:
        return submit(session, harness.store.settings, job_spec(**fields)).report.id


def test_planner_submits_cancels_and_reads_children_in_one_transaction(
    harness: Harness, worker: SimulatedWorker
) -> None:
    worker.dataset()
    leader = submitted(harness)
    with harness.store.begin() as session:
        parent = Parent(leader, Relation.CHILD)
        first, _ = submit(session, harness.store.settings, job_spec(), parent=parent)
        second, _ = submit(session, harness.store.settings, job_spec(requires=[first.id]), parent=parent)
        _, startable = actions.cancel(session, first.id)
        reports = [job_report(session, job_id) for job_id in (first.id, second.id)]
    assert startable == []
    assert [report.state for report in reports] == [JobState.CANCELLED, JobState.FAILED]
    assert {(report.parent, report.relation) for report in reports} == {(leader, Relation.CHILD)}
    assert first.id in (reports[1].error.detail if reports[1].error else "")


def test_planner_whose_transaction_fails_leaves_no_child(harness: Harness, worker: SimulatedWorker) -> None:
    worker.dataset()
    leader = submitted(harness)
    settings = harness.store.settings.model_copy(update={"max_queue_length": 2})

    def submit_two() -> None:
        with harness.store.begin() as session:
            for _ in range(2):
                submit(session, settings, job_spec(), parent=Parent(leader, Relation.CHILD))

    with pytest.raises(BusyError):
        submit_two()
    with harness.store.read() as session:
        assert jobs.list_page(session, parent=[leader])[0] == []


def test_cancel_ends_a_waiting_job_and_asks_a_running_one(harness: Harness) -> None:
    waiting, running = harness.submit(), harness.submit()
    harness.claim(running)
    with harness.store.begin() as session:
        states = [actions.cancel(session, job_id)[0].state for job_id in (waiting, running)]
    assert states == [JobState.CANCELLED, JobState.CANCELLING]


def test_pause_and_resume_follow_the_states(harness: Harness) -> None:
    job_id = harness.submit()
    with harness.store.begin() as session:
        assert actions.pause(session, job_id).state is JobState.PAUSED
        report, startable = actions.resume(session, job_id)
        assert (report.state, startable) == (JobState.QUEUED, [job_id])
        with pytest.raises(StateError, match="queued"):
            actions.resume(session, job_id)


def test_retry_takes_what_failed_or_was_cancelled(harness: Harness, worker: SimulatedWorker) -> None:
    worker.dataset()
    job_id = submitted(harness, epochs=7)
    settings = harness.store.settings
    with harness.store.begin() as session, pytest.raises(StateError, match="queued"):
        actions.retry(session, settings, job_id)(session)
    harness.end(harness.claim(job_id), JobState.FAILED)
    with harness.store.begin() as session:
        report, startable = actions.retry(session, settings, job_id)(session)
    assert (report.parent, report.relation, report.spec["epochs"]) == (job_id, Relation.FOLLOW_UP, 7)
    assert startable == [report.id]


def test_clone_reaches_lists_and_what_is_null(harness: Harness, worker: SimulatedWorker) -> None:
    worker.dataset()
    job_id = submitted(harness, augment=[{"op": "crop"}], early_stopping=None)
    patch = {"augment.0.padding": 2, "early_stopping.patience": 3}
    with harness.store.begin() as session:
        spec = actions.clone(session, harness.store.settings, job_id, patch)(session).report.spec
    assert spec["augment"][0]["padding"] == 2
    assert (spec["early_stopping"]["patience"], spec["early_stopping"]["mode"]) == (3, "min")


def test_internal_jobs_are_not_cloned(harness: Harness, worker: SimulatedWorker) -> None:
    dataset = worker.dataset()
    with harness.store.begin() as session, pytest.raises(InvalidRequestError, match="belongs to its dataset"):
        actions.clone(session, harness.store.settings, dataset.job_id, {})


def test_relabel_changes_only_what_is_set(harness: Harness) -> None:
    job_id = harness.submit(name="first", labels={"a": "1"}, priority=3)
    with harness.store.begin() as session:
        report = actions.relabel(session, job_id, JobChanges(labels={"b": "2"}))
    assert (report.name, report.labels, report.priority) == ("first", {"b": "2"}, 3)


def test_job_is_deleted_with_its_files(harness: Harness, worker: SimulatedWorker) -> None:
    job_id = harness.submit()
    fence = harness.claim(job_id)
    worker.save_bytes(job_id, "model.safetensors", "model", b"weights")
    with pytest.raises(StateError, match="running"):
        actions.delete(harness.store, job_id)
    harness.end(fence)
    actions.delete(harness.store, job_id)
    assert harness.store.artifacts.keys("jobs") == []
    with harness.store.read() as session, pytest.raises(NotFoundError):
        job_report(session, job_id)


def test_files_of_an_ended_job_are_deleted_without_its_record(harness: Harness, worker: SimulatedWorker) -> None:
    job_id = harness.submit()
    fence = harness.claim(job_id)
    worker.save_bytes(job_id, "model.safetensors", "model", b"weights")
    worker.save_bytes(job_id, "last-1", "last", b"state")

    def delete_files() -> None:
        actions.delete_files(harness.store, job_id, actor="key", reason="no room")

    with pytest.raises(StateError, match="running"):
        delete_files()
    harness.end(fence)
    with harness.store.read() as session:
        report = job_report(session, job_id)
    assert (report.bytes, report.bytes_by_role, report.files_deleted) == (12, {"model": 7, "last": 5}, None)
    delete_files()
    delete_files()
    assert harness.store.artifacts.keys("jobs") == []
    with harness.store.read() as session:
        report = job_report(session, job_id)
        assert (report.state, report.bytes) == (JobState.SUCCEEDED, 0)
        deleted = bundle(session, job_id).files_deleted
        assert deleted is not None
        assert deleted == report.files_deleted
        assert (deleted.actor, deleted.reason, deleted.bytes) == ("key", "no room", 12)
        assert [event.type for event in events.after(session, job_id, 0)].count(files.DELETED) == 1
        with pytest.raises(FilesDeletedError, match=r"deleted at .* by key: no room"):
            files.named(session, job_id, "model.safetensors")


def test_weights_that_were_deleted_are_refused(harness: Harness, worker: SimulatedWorker) -> None:
    worker.dataset()
    pretrained = harness.submit(model={"family": "torchvision", "arch": "resnet18"})
    fence = harness.claim(pretrained)
    worker.save_bytes(pretrained, "model.safetensors", "model", b"weights")
    harness.end(fence)
    model = {"family": "torchvision", "arch": "resnet18", "weights": {"from_job": pretrained}}
    taking_id = submitted(harness, model=model)
    with pytest.raises(InUseError, match=taking_id):
        actions.delete_files(harness.store, pretrained, actor="key", reason="no room")
    with harness.store.begin() as session:
        actions.cancel(session, taking_id)
    actions.delete_files(harness.store, pretrained, actor="key", reason="no room")
    with pytest.raises(SpecError, match="were deleted"):
        submitted(harness, model=model)


def test_files_stay_for_a_job_that_is_being_submitted(harness: Harness, worker: SimulatedWorker) -> None:
    worker.dataset()
    pretrained = harness.submit(model={"family": "torchvision", "arch": "resnet18"})
    fence = harness.claim(pretrained)
    worker.save_bytes(pretrained, "model.safetensors", "model", b"weights")
    harness.end(fence)
    spec = job_spec(model={"family": "torchvision", "arch": "resnet18", "weights": {"from_job": pretrained}})
    with ThreadPoolExecutor() as pool:
        with harness.store.begin() as session:
            submit(session, harness.store.settings, spec)
            deletion = pool.submit(actions.delete_files, harness.store, pretrained, actor="key", reason="no room")
            with pytest.raises(TimeoutError):
                deletion.result(timeout=0.2)
        with pytest.raises(InUseError):
            deletion.result()
    assert len(harness.store.artifacts.keys(f"jobs/{pretrained}")) == 1


def test_search_is_deleted_with_its_runners_and_its_study(harness: Harness, worker: SimulatedWorker) -> None:
    space = {"optimizer.lr": {"type": "float", "low": 1e-4, "high": 1e-2}}
    fields = {"kind": "tune", "train": {"dataset": "digits"}, "search_space": space, "parallelism": 2}
    search = TuneSpec.model_validate(fields)
    with harness.store.begin() as session:
        job_id = jobs.create(session, search).id
    fence = harness.claim(job_id)
    studies.address(harness.store, job_id)
    with harness.store.begin() as session:
        (runner,) = runners.start(session, job_id, search, 1)
    assert harness.job(runner).relation == Relation.CHILD
    worker.save_bytes(runner, "trial-00001.pt", "last", b"state")
    with harness.store.begin() as session, pytest.raises(InvalidRequestError, match="A runner belongs to its search"):
        actions.clone(session, harness.store.settings, runner, {})
    harness.end(fence)
    actions.delete(harness.store, job_id)
    with harness.store.read() as session, pytest.raises(NotFoundError):
        jobs.get(session, runner)
    assert harness.store.artifacts.keys("jobs") == []
    assert studies.kept(harness.store) == []
