"""Lists of jobs: newest first, filtered, by keyset cursor; and the queue's order."""

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from service.datasets import imports
from service.settings import Settings
from service.specs.dataset import BuiltinSource
from service.states import JobState, Relation
from service.store import attempts, jobs
from service.store.jobs import Parent
from service.store.session import Store
from tests.service.conftest import Harness, spec


def listed(harness: Harness, **filters: Any) -> list[str]:
    """Ids of the first page."""
    with harness.store.read() as session:
        return [row.id for row in jobs.list_page(session, **filters)[0]]


def test_pages_cover_everything_once_newest_first(harness: Harness) -> None:
    made = [harness.submit() for _ in range(7)]
    seen: list[str] = []
    cursor: str | None = None
    for _ in range(4):
        with harness.store.read() as session:
            rows, cursor = jobs.list_page(session, limit=2, cursor=cursor)
        seen += [row.id for row in rows]
        harness.submit()  # what comes meanwhile shifts nothing
    assert cursor is None
    assert seen == sorted(made, reverse=True)


def test_full_last_page_ends_the_list(harness: Harness) -> None:
    for _ in range(4):
        harness.submit()
    with harness.store.read() as session:
        _, cursor = jobs.list_page(session, limit=4)
    assert cursor is None


def test_filters_combine(harness: Harness) -> None:
    wanted = harness.submit("sanity", labels={"team": "a", "run": "1"})
    harness.submit("sanity", labels={"team": "b"})
    other = harness.submit(labels={"team": "a"})
    harness.claim(wanted)
    assert listed(harness, kind="sanity", state=JobState.RUNNING) == [wanted]
    assert listed(harness, label="team=a", kind="sanity") == [wanted]
    assert listed(harness, label="team=a") == [other, wanted]
    assert listed(harness, label="run") == [wanted]
    assert listed(harness, label="team=c") == []
    assert listed(harness, state=JobState.FAILED) == []


def test_parent_and_dataset_filter(harness: Harness) -> None:
    first = harness.submit()
    with harness.store.begin() as session:
        child = jobs.create(session, spec(), parent=Parent(first, Relation.CHILD), dataset_id="d1").id
    assert listed(harness, parent=first) == [child]
    assert listed(harness, dataset="d1") == [child]


def test_imports_are_hidden_unless_asked_for(harness: Harness) -> None:
    job_id = harness.submit()
    with harness.store.begin() as session:
        row = imports.create(session, "digits", BuiltinSource(kind="builtin"))
    assert listed(harness) == [job_id]
    assert listed(harness, kind="import") == [row.job_id]


def test_jobs_that_can_start_are_ordered_by_priority_then_age(harness: Harness) -> None:
    low, first, second = harness.submit(priority=-1), harness.submit(), harness.submit()
    urgent = harness.submit(priority=5)
    harness.submit(priority=9, needs=[low])
    with harness.store.read() as session:
        assert [row.id for row in attempts.startable(session)] == [urgent, first, second, low]


@pytest.mark.parametrize(
    "filters",
    [
        {},
        {"state": "running"},
        {"kind": "train"},
        {"dataset": "d"},
        {"parent": "p"},
        {"label": "team=a"},
        {"label": "a"},
    ],
    ids=lambda filters: "-".join(filters) or "all",
)
def test_list_reads_an_index_and_sorts_nothing(sqlite_url: str, home: Path, filters: dict[str, Any]) -> None:
    store = Store(Settings(home=home, database_url=sqlite_url))
    asked: list[tuple[str, Any]] = []
    sa.event.listen(store.engine, "before_cursor_execute", lambda *call: asked.append((call[2], call[3])))
    with store.read() as session:
        jobs.list_page(session, cursor="m", **filters)
        statement, parameters = asked[-1]
        explained = session.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
        plan = [str(row[3]) for row in explained]
    store.close()
    assert plan
    assert not [step for step in plan if "TEMP B-TREE" in step or step.startswith("SCAN")], plan
