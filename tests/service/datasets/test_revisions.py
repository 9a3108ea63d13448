"""Revisions: the same data once more under other options, from what an import that failed has kept."""

from pathlib import Path

import pytest

from service.datasets import imports, revisions
from service.errors import ConflictError, NotReadyError
from service.specs.dataset import ImportOptions, RevisionRequest, UploadFields
from service.states import JobState
from service.store import files, jobs
from service.upkeep import collector
from tests.service.conftest import Harness

ACCEPTED = RevisionRequest.model_validate(
    {"name": "again", "accept_corrupt": True, "options": {"split": {"val": 0.3}, "layout": "names"}}
)


def failed_upload(harness: Harness, tmp_path: Path, key: str = "uploads/one") -> str:
    """The id of a dataset whose import failed, and whose file is still there."""
    path = tmp_path / "file"
    path.write_bytes(b"data")
    harness.store.artifacts.put(key, path)
    fields = UploadFields(name="first", filename="a.zip", options=ImportOptions(image_size=64))
    with harness.store.begin() as session:
        row = imports.create_from_file(session, fields, key)
    harness.end(harness.claim(row.job_id), JobState.FAILED)
    return row.id


def test_a_revision_reads_the_same_file_under_the_options_that_differ(harness: Harness, tmp_path: Path) -> None:
    parent = failed_upload(harness, tmp_path)
    with harness.store.begin() as session:
        row = revisions.create(session, harness.store.artifacts, "first", ACCEPTED)
        source = jobs.get(session, row.job_id).spec["source"]
    assert (row.parent_id, row.name, source["artifact"]) == (parent, "again", "uploads/one")
    options = ImportOptions.model_validate(source["options"])
    assert (options.drop_corrupt, options.image_size, options.split.val, options.layout) == (True, 64, 0.3, "names")


def test_deleting_the_failed_dataset_leaves_the_file_to_the_revision(harness: Harness, tmp_path: Path) -> None:
    failed_upload(harness, tmp_path)
    with harness.store.begin() as session:
        row = revisions.create(session, harness.store.artifacts, "first", ACCEPTED)
    imports.delete(harness.store, "first")
    assert harness.store.artifacts.keys("uploads") == ["uploads/one"]
    harness.end(harness.claim(row.job_id), JobState.FAILED)
    imports.delete(harness.store, "again")
    assert harness.store.artifacts.keys("uploads") == []


def test_the_file_of_a_failed_import_is_kept_for_a_day(
    harness: Harness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed_upload(harness, tmp_path)
    with harness.store.read() as session:
        assert files.failed_uploads(session, ["uploads/one"], 60.0) == {"uploads/one"}
        assert files.failed_uploads(session, ["uploads/one"], -60.0) == set()
    monkeypatch.setattr(collector, "ABANDONED_SECONDS", -60.0)
    collector.collect(harness.store)
    assert harness.store.artifacts.keys("uploads") == []
    with harness.store.begin() as session, pytest.raises(ConflictError, match="upload it again"):
        revisions.create(session, harness.store.artifacts, "first", ACCEPTED)


def test_a_dataset_that_is_importing_has_no_revision_yet(harness: Harness) -> None:
    with harness.store.begin() as session:
        imports.create_from_file(session, UploadFields(name="first", filename="a.zip"), "uploads/one")
        with pytest.raises(NotReadyError, match="still importing"):
            revisions.create(session, harness.store.artifacts, "first", ACCEPTED)


def test_a_revision_that_changes_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing would change"):
        RevisionRequest.model_validate({"name": "again"})
