"""Datasets: a name is taken once, what is in use stays, and what is deleted goes with its files."""

from pathlib import Path

import pytest

from service.datasets import imports
from service.errors import ConflictError, InUseError, NotFoundError
from service.specs.dataset import BuiltinSource, UploadFields
from service.states import JobState
from service.store import datasets, files, jobs
from service.store.session import Store
from tests.service.conftest import Harness, spec

DIGITS = BuiltinSource(kind="builtin")


def test_name_of_a_dataset_is_taken_once(store: Store) -> None:
    with store.begin() as session:
        imports.create(session, "digits", DIGITS)
        with pytest.raises(ConflictError, match="digits"):
            imports.create(session, "digits", DIGITS)
    with pytest.raises(ConflictError, match="digits"):
        imports.check_name(store, "digits")


def test_a_dataset_named_like_the_id_of_another_hides_neither(store: Store) -> None:
    """Such names are refused; a database from before may hold one."""
    with store.begin() as session:
        first = imports.create(session, "first", DIGITS).id
        second = imports.create(session, first, DIGITS).id
    with store.read() as session:
        assert (datasets.get(session, first).id, datasets.get(session, second).name) == (first, first)


def test_datasets_are_listed_newest_first(store: Store) -> None:
    with store.begin() as session:
        made = [imports.create(session, name, DIGITS).id for name in ("a", "b", "c")]
    with store.read() as session:
        rows, cursor = datasets.list_page(session, limit=2)
        rest, end = datasets.list_page(session, limit=2, cursor=cursor)
    assert [row.id for row in [*rows, *rest]] == sorted(made, reverse=True)
    assert end is None


def test_dataset_in_use_is_not_deleted(harness: Harness) -> None:
    with harness.store.begin() as session:
        row = imports.create(session, "digits", DIGITS)
    with pytest.raises(InUseError, match="importing"):
        imports.delete(harness.store, "digits")
    harness.end(harness.claim(row.job_id), JobState.FAILED)
    with harness.store.begin() as session:
        job_id = jobs.create(session, spec(), dataset_id=row.id).id
    with pytest.raises(InUseError, match=job_id):
        imports.delete(harness.store, row.id)
    harness.end(harness.claim(job_id))
    imports.delete(harness.store, "digits")
    with harness.store.read() as session, pytest.raises(NotFoundError):
        datasets.get(session, "digits")


def test_a_dataset_is_found_by_its_uploaded_file_and_deleted_with_it(harness: Harness, tmp_path: Path) -> None:
    for key in ("uploads/1", "uploads/2", "datasets/x"):
        (tmp_path / "file").write_bytes(b"x")
        stored = harness.store.artifacts.put(key, tmp_path / "file")
    with harness.store.begin() as session:
        rows = {
            number: imports.create_from_file(
                session, UploadFields(name=f"d{number}", filename="a"), f"uploads/{number}"
            )
            for number in (1, 2)
        }
        files.put(session, rows[2].id, "x.npy", "dataset", stored)
    with harness.store.read() as session:
        found = datasets.imported_from(session, "uploads/2")
        assert found is not None
        assert found.name == "d2"
        assert datasets.imported_from(session, "uploads/3") is None
    harness.end(harness.claim(rows[2].job_id), JobState.FAILED)
    imports.delete(harness.store, "d2")
    assert harness.store.artifacts.keys("uploads") == ["uploads/1"]
    assert harness.store.artifacts.keys("datasets") == []
