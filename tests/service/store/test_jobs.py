"""Rows of jobs: created, listed by keyset cursor and filters, relabelled, removed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from service.datasets import imports
from service.errors import InvalidRequestError, NotFoundError, StateError
from service.settings import Settings
from service.specs.dataset import BuiltinSource
from service.states import JobState, Relation
from service.store import events, jobs
from service.store.jobs import Parent
from service.store.session import Store
from service.store.tables import JobRow
from tests.service.conftest import Harness, spec


def test_job_is_queued_and_keeps_its_resolved_spec(harness: Harness) -> None:
    job_id = harness.submit(name="first", labels={"team": "a"}, priority=3)
    row = harness.job(job_id)
    assert (row.state, row.name, row.labels, row.priority, row.attempt) == ("queued", "first", {"team": "a"}, 3, 0)
    assert row.spec["epochs"] == 20
    assert row.notified_at is None


def test_unknown_job_is_not_found(harness: Harness) -> None:
    with harness.store.read() as session, pytest.raises(NotFoundError):
        jobs.get(session, "no-such-job")


def test_rename_and_relabel(harness: Harness) -> None:
    job_id = harness.submit(labels={"a": "1"})
    with harness.store.begin() as session:
        jobs.relabel(session, job_id, name="new", labels={"b": "2"}, priority=5)
    with harness.store.read() as session:
        rows, _ = jobs.list_page(session, label=["b=2"])
        gone, _ = jobs.list_page(session, label=["a"])
    assert [(row.name, row.priority) for row in rows] == [("new", 5)]
    assert gone == []


def test_removed_job_leaves_nothing(harness: Harness) -> None:
    job_id = harness.submit(labels={"a": "1"})
    harness.end(harness.claim(job_id))
    with harness.store.begin() as session:
        jobs.remove(session, job_id)
    with harness.store.read() as session:
        assert session.get(JobRow, job_id) is None
        assert events.after(session, job_id, 0) == []


def test_running_job_is_not_removed(harness: Harness) -> None:
    job_id = harness.submit()
    harness.claim(job_id)
    with harness.store.begin() as session, pytest.raises(StateError, match="running"):
        jobs.remove(session, job_id)


def test_value_that_postgres_cannot_store_is_refused_as_the_clients_fault(postgres_url: str, home: Path) -> None:
    store = Store(Settings(home=home, database_url=postgres_url))
    calls: list[Callable[[Session], object]] = [
        lambda session: jobs.get(session, "a\0"),
        lambda session: jobs.list_page(session, label=["a\0=b"]),
        lambda session: jobs.create(session, spec().model_copy(update={"name": "a\0"})),
        lambda session: jobs.create(session, spec(), parent=Parent("p" * 100, Relation.CHILD)),
    ]
    for call in calls:
        with pytest.raises(InvalidRequestError, match="cannot be stored"), store.begin() as session:
            call(session)
    store.close()


def listed(harness: Harness, **filters: Any) -> list[str]:
    """Ids of the first page; each filter has one value."""
    with harness.store.read() as session:
        return [row.id for row in jobs.list_page(session, **one_each(filters))[0]]


def one_each(filters: dict[str, Any]) -> dict[str, Any]:
    """Filters of one value each."""
    return {name: [value] for name, value in filters.items()}


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
    labelled = harness.submit("sanity", labels={"team": "a", "run": "1"})
    harness.submit("sanity", labels={"team": "b"})
    other = harness.submit(labels={"team": "a"})
    harness.claim(labelled)
    assert listed(harness, kind="sanity", state=JobState.RUNNING) == [labelled]
    assert listed(harness, label="team=a", kind="sanity") == [labelled]
    assert listed(harness, label="team=a") == [other, labelled]
    assert listed(harness, label="run") == [labelled]
    assert listed(harness, label="team=c") == []
    assert listed(harness, state=JobState.FAILED) == []


def test_a_filter_with_several_values_is_any_of_them(harness: Harness) -> None:
    first = harness.submit("sanity", labels={"team": "a", "run": "1"})
    second = harness.submit(labels={"team": "b"})
    harness.submit(labels={"team": "c"})
    harness.claim(first)
    with harness.store.read() as session:
        teams = ["team=a", "team=b"]
        by_label, _ = jobs.list_page(session, label=[*teams, "run"])
        by_all, _ = jobs.list_page(session, label=teams, kind=["sanity", "train"], state=["running", "queued"])
        assert [row.id for row in by_label] == [row.id for row in by_all] == [second, first]


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
        jobs.list_page(session, cursor="m", **one_each(filters))
        statement, parameters = asked[-1]
        explained = session.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
        plan = [str(row[3]) for row in explained]
    store.close()
    assert plan
    assert not [step for step in plan if "TEMP B-TREE" in step or step.startswith("SCAN")], plan
