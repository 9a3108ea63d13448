"""Rows that name files, and reports by name."""

import math

import pytest

from service.errors import NotReadyError
from service.reports.names import ReportName
from service.store import files, reports
from service.store.artifacts.interface import StoredFile
from tests.service.conftest import Harness


def stored(key: str) -> StoredFile:
    """A file of one byte."""
    return StoredFile(key, 1, "0" * 64)


def test_file_of_the_same_name_replaces_the_row_and_tells_the_old_key(harness: Harness) -> None:
    job_id = harness.submit()
    with harness.store.begin() as session:
        assert files.put(session, job_id, "model", "model", stored("a"), step=1, metrics={"loss": 0.5}) is None
        assert files.put(session, job_id, "model", "model", stored("b"), step=2) == "a"
        assert files.put(session, job_id, "model", "model", stored("b"), step=3) is None
    with harness.store.read() as session:
        row = files.named(session, job_id, "model")
        assert (row.artifact, row.step, row.metrics) == ("b", 3, {})
        with pytest.raises(NotReadyError):
            files.named(session, job_id, "other")


def test_last_two_resume_checkpoints_and_the_best_are_kept(harness: Harness) -> None:
    job_id = harness.submit()
    with harness.store.begin() as session:
        for step in (1, 2, 3, 4):
            files.put(session, job_id, f"last-{step}", "last", stored(f"k{step}"), step=step)
        files.put(session, job_id, "best", "best", stored("best"), step=1)
        assert sorted(files.prune(session, job_id)) == ["k1", "k2"]
        assert files.prune(session, job_id) == []
    with harness.store.begin() as session:
        assert [row.name for row in files.of(session, job_id, "last")] == ["last-4", "last-3"]
        assert [row.name for row in files.of(session, job_id, "best")] == ["best"]
        files.remove(session, job_id)
    with harness.store.read() as session:
        assert files.of(session, job_id) == []


def test_report_of_a_later_attempt_replaces_the_first(harness: Harness) -> None:
    job_id = harness.submit()
    with harness.store.begin() as session:
        reports.put(session, job_id, 1, "confusion:val", {"a": 1})
        reports.put(session, job_id, 2, "confusion:val", {"a": 2})
        reports.put(session, job_id, 2, "confusion:test", {"a": 3})
        reports.put(session, job_id, 2, "result", {"a": 4})
    with harness.store.read() as session:
        assert reports.get(session, job_id, "confusion:val") == {"a": 2}
        assert reports.get(session, job_id, "none") is None
        confusions = {"confusion:val": {"a": 2}, "confusion:test": {"a": 3}}
        assert reports.of(session, job_id, ReportName.CONFUSION) == confusions
        assert reports.of(session, job_id) == confusions | {"result": {"a": 4}}


@pytest.mark.parametrize(
    ("value", "kept"),
    [(math.nan, None), (-math.inf, None), (1e308, 1e308), ("é\u2028 \x00", "é\u2028 \x00"), (2**70, 2**70), ({}, {})],
)
def test_any_value_can_be_reported(harness: Harness, value: object, kept: object) -> None:
    job_id = harness.submit()
    with harness.store.begin() as session:
        reports.put(session, job_id, 1, "result", {"value": value, "more": [value]})
    with harness.store.read() as session:
        assert reports.get(session, job_id, "result") == {"value": kept, "more": [kept]}


def test_file_name_that_is_no_text_can_be_reported(harness: Harness) -> None:
    job_id = harness.submit()
    with harness.store.begin() as session:
        reports.put(
            session, job_id, 1, "result", {"file": b"caf\xe9.png".decode("utf8", "surrogateescape"), "x": math.nan}
        )
    with harness.store.read() as session:
        report = reports.get(session, job_id, "result")
    assert report == {"file": "caf?.png", "x": None}
