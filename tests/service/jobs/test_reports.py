"""Rows as reports: jobs alone and in lists, events, workers."""

from datetime import timedelta
from typing import Any

import pytest

from service.errors import NotFoundError
from service.jobs.reports import event_report, job_report, job_reports, worker_report
from service.reports.names import ReportName
from service.reports.result import LrCurve, LrPoint
from service.store import events, jobs, workers
from service.store.session import now
from tests.service.conftest import Harness
from tests.service.simulated_worker import SimulatedWorker


def test_job_has_its_whole_result_alone_and_a_short_one_in_lists(harness: Harness, worker: SimulatedWorker) -> None:
    job_id = harness.submit("lr-find", name="sweep", labels={"team": "a"}, priority=2)
    fence = worker.claim(job_id).fence
    curve = LrCurve(
        points=[LrPoint(lr=1e-3, loss=1.0, smoothed=None)],
        suggested=1e-3,
        steepest=None,
        minimum_over_ten=None,
        quality="good",
        reason="the loss fell",
        rule="steepest",
    )
    worker.report(fence, ReportName.RESULT, curve)
    worker.end(fence)
    with harness.store.read() as session:
        report = job_report(session, job_id)
        (listed,) = job_reports(session, [jobs.get(session, job_id)])
    assert (report.name, report.labels, report.priority, report.kind) == ("sweep", {"team": "a"}, 2, "lr-find")
    assert (report.state, report.progress, report.attempt, report.error, report.queue) == (
        "succeeded",
        1.0,
        1,
        None,
        None,
    )
    assert report.result == curve.model_dump(mode="json")
    assert listed.result == {name: value for name, value in report.result.items() if name != "points"}
    assert listed.model_copy(update={"result": report.result}) == report


def test_job_that_is_not_there_has_no_report(harness: Harness) -> None:
    with harness.store.read() as session, pytest.raises(NotFoundError):
        job_report(session, "none")


def test_level_of_a_log_line_is_among_its_data(harness: Harness, worker: SimulatedWorker) -> None:
    job_id = harness.submit()
    worker.log(job_id, "slow", "warning")
    with harness.store.read() as session:
        reports = [event_report(row) for row in events.after(session, job_id, 0)]
    assert [(report.seq, report.type, report.data) for report in reports] == [
        (1, "state", {"state": "queued", "actor": "anyone", "reason": "submitted"}),
        (2, "log", {"level": "warning", "message": "slow"}),
    ]


def test_worker_is_alive_drains_or_is_lost(harness: Harness) -> None:
    devices: list[dict[str, Any]] = [
        {"device": "cuda:1", "name": "NVIDIA H200", "memory_bytes": 2**37},
        {"device": "cpu", "threads": 2},
    ]
    with harness.store.begin() as session:
        workers.register(session, "w1", host="box", pid=7, slots=2, devices=devices)
    fence = harness.claim(harness.submit(), "w1")
    with harness.store.begin() as session:
        (row,) = workers.listed(session)
        report = worker_report(session, row, 60)
        states = [report.state, worker_report(session, workers.drain(session, "w1"), 60).state]
        row.heartbeat_at = now(session) - timedelta(seconds=61)
        states.append(worker_report(session, row, 60).state)
    assert (report.name, report.device, report.slots, report.jobs) == ("box:7", "NVIDIA H200, cpu", 2, [fence.job_id])
    assert [device.model_dump() for device in report.devices] == [
        {"type": "cuda", "index": 1, "name": "NVIDIA H200", "memory_bytes": 2**37, "threads": None},
        {"type": "cpu", "index": 0, "name": "cpu", "memory_bytes": None, "threads": 2},
    ]
    assert states == ["alive", "draining", "lost"]
    with harness.store.begin() as session, pytest.raises(NotFoundError, match="no worker"):
        workers.drain(session, "none")
