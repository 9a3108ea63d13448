"""Submitting: a spec is resolved, its references are followed, and it is stored whole or not at all."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.orm import Session

from service.errors import BusyError, ConflictError, SpecError
from service.jobs import completion, transitions
from service.jobs.idempotency import Answer, answer_once
from service.jobs.submit import Submission, dry_run, prepare, submit
from service.resolution.resolve import Resolution, resolve
from service.specs import JOB_SPEC, AnyJobSpec
from service.states import JobState
from service.store import events, jobs, workers
from tests.service.conftest import Harness
from tests.service.simulated_worker import SimulatedWorker


def job_spec(kind: str = "train", **fields: Any) -> AnyJobSpec:
    """A spec as a client sends it."""
    return JOB_SPEC.validate_python({"kind": kind, "dataset": "digits", **fields})


def submitted(harness: Harness, kind: str = "train", **fields: Any) -> Submission:
    """A submission in a transaction of its own."""
    with harness.store.begin() as session:
        return submit(session, harness.store.settings, job_spec(kind, **fields))


def refusal(harness: Harness, **fields: Any) -> SpecError:
    """The error of a spec that can never run; nothing is stored."""
    with pytest.raises(SpecError) as refused:
        submitted(harness, **fields)
    return refused.value


def test_builtin_dataset_is_imported_on_first_use(harness: Harness) -> None:
    report, (import_id, job_id) = submitted(harness)
    assert report.id == job_id
    assert harness.job(import_id).kind == "import"
    assert report.queue is not None
    assert report.queue.reason == f"waits for the import job {import_id} (queued)"
    assert submitted(harness).startable[1:] == []


def test_ready_dataset_makes_the_job_startable_and_its_spec_resolved(harness: Harness, worker: SimulatedWorker) -> None:
    dataset = worker.dataset()
    report, startable = submitted(harness, epochs=3)
    assert startable == [report.id]
    assert (report.dataset, report.spec["epochs"], report.spec["optimizer"]["lr"]) == (dataset.id, 3, 1e-3)


def test_an_open_model_is_chosen_when_the_import_has_ended(harness: Harness, worker: SimulatedWorker) -> None:
    report, (import_id, _) = submitted(harness)
    space = {"batch_size": {"type": "int", "low": 16, "high": 64}}
    search = JOB_SPEC.validate_python({"kind": "tune", "train": {"dataset": "digits"}, "search_space": space})
    with harness.store.begin() as session:
        tune = submit(session, harness.store.settings, search).report
        paused = submit(session, harness.store.settings, job_spec("lr-find")).report
        transitions.request_pause(session, paused.id)
    assert report.spec["model"] is tune.spec["train"]["model"] is None
    worker.import_dataset(report.dataset or "", import_id)
    specs = [harness.job(job_id).spec for job_id in (report.id, tune.id, paused.id)]
    assert [spec.get("train", spec)["model"]["family"] for spec in specs] == ["cnn"] * 3
    assert submitted(harness)[0].spec == specs[0]


def test_dataset_that_is_not_there_or_failed_is_refused_with_what_to_do(
    harness: Harness, worker: SimulatedWorker
) -> None:
    worker.dataset("flowers")
    mistyped = refusal(harness, dataset="flower")
    assert (mistyped.errors[0].pointer, mistyped.errors[0].detail) == (
        "/dataset",
        "there is no dataset `flower`; did you mean `flowers`?",
    )
    failed, (import_id, _) = submitted(harness)
    with harness.store.begin() as session:
        completion.end(session, import_id, JobState.FAILED)
    assert refusal(harness).detail.startswith("the import of `digits` failed")
    assert harness.state(failed.id) == JobState.FAILED


def test_references_are_checked(harness: Harness, worker: SimulatedWorker) -> None:
    worker.dataset()
    gone = refusal(harness, optimizer={"lr": {"from_job": "nothing"}}, requires=["none"])
    assert [error.pointer for error in gone.errors] == ["/requires/0", "/optimizer/lr/from_job"]
    sanity = submitted(harness, "sanity").report
    assert "takes `lr-find`" in refusal(harness, optimizer={"lr": {"from_job": sanity.id}}).detail
    finder = submitted(harness, "lr-find").report
    follower = submitted(harness, optimizer={"lr": {"from_job": finder.id}}, requires=[sanity.id]).report
    assert follower.queue is not None
    assert finder.id in follower.queue.reason
    assert sanity.id in follower.queue.reason
    worker.end(worker.claim(finder.id).fence, JobState.FAILED)
    assert "gives no value" in refusal(harness, optimizer={"lr": {"from_job": finder.id}}).detail


def test_job_behind_a_missed_gate_fails_at_once(harness: Harness, worker: SimulatedWorker) -> None:
    worker.dataset()
    sanity = submitted(harness, "sanity").report
    worker.end(worker.claim(sanity.id).fence, JobState.FAILED)
    report, startable = submitted(harness, requires=[sanity.id])
    assert (report.state, report.error and report.error.code) == (JobState.FAILED, "gate-failed")
    assert startable == []


def test_full_queue_takes_no_more(harness: Harness, worker: SimulatedWorker) -> None:
    worker.dataset()
    settings = harness.store.settings.model_copy(update={"max_queue_length": 1})
    submitted(harness)
    with harness.store.begin() as session, pytest.raises(BusyError, match="1 jobs wait already"):
        submit(session, settings, job_spec())


def test_a_spec_is_judged_while_nobody_waits_to_write(
    harness: Harness, worker: SimulatedWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker.dataset()
    judged = []

    def resolve_while_another_writes(*given: Any, **named: Any) -> Resolution:
        judged.append(harness.submit())  # on SQLite this would wait for a transaction that writes
        return resolve(*given, **named)

    monkeypatch.setattr("service.jobs.submit.resolve", resolve_while_another_writes)
    store, statements = harness.store, list[str]()

    def create(session: Session) -> Callable[[Session], Answer]:
        prepared = prepare(session, store.settings, job_spec(epochs=3))
        event.listen(store.engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
        return lambda writing: Answer(prepared(writing).report.model_dump_json(), 202, {})

    answer = answer_once(store, None, b"", create)
    assert (len(judged), "epochs" in answer.body) == (1, True)
    assert len(statements) <= 40, "what holds the lock is short"


def test_dataset_that_changes_between_judgement_and_storing_is_judged_again(
    harness: Harness, worker: SimulatedWorker
) -> None:
    with harness.store.read() as session:
        create = prepare(session, harness.store.settings, job_spec())
    worker.dataset()
    with harness.store.begin() as session, pytest.raises(ConflictError, match="has changed"):
        create(session)


def test_warnings_are_reported_and_logged(harness: Harness, worker: SimulatedWorker) -> None:
    worker.dataset(samples=500)
    report = submitted(harness, shuffle=False).report
    assert [advice.code for advice in report.warnings] == ["no-shuffle"]
    with harness.store.read() as session:
        (line,) = events.after(session, report.id, 0, type="log")
    assert (line.level, line.data["message"]) == ("warning", f"/shuffle: {report.warnings[0].detail}")


def test_dry_run_stores_nothing(harness: Harness, worker: SimulatedWorker) -> None:
    worker.dataset()
    with harness.store.begin() as session:
        report = dry_run(session, harness.store.settings, job_spec(shuffle=False))
        assert jobs.list_page(session)[0] == []
    assert report.estimates is not None
    assert report.spec == submitted(harness, shuffle=False).report.spec


def test_gpu_that_a_worker_reports_counts_for_the_advice(harness: Harness) -> None:
    def codes(device: str = "cpu") -> list[str]:
        with harness.store.read() as session:
            report = dry_run(session, harness.store.settings, job_spec(device=device))
        return [advice.code for advice in report.warnings]

    assert "gpu-unused" not in codes()
    with harness.store.begin() as session:
        workers.register(session, "w1", host="h", pid=1, slots=1, devices=[{"device": "cuda:0"}])
    assert "gpu-unused" in codes()
    assert codes("cuda") == []
    with harness.store.begin() as session:  # a worker that died without a word
        workers.alive(session, 60)[0].heartbeat_at -= timedelta(hours=1)
    assert codes() == []
    assert codes("cuda") == ["no-gpu"]
