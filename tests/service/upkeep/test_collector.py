"""The collector: what nobody needs goes, and no file goes that a row names, whatever happens at the same time."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import pytest
import sqlalchemy as sa

from service.datasets import imports
from service.datasets.uploads import Uploads
from service.jobs import actions
from service.settings import Settings
from service.specs.dataset import BuiltinSource, UploadRequest
from service.states import JobState
from service.store import attempts, files, jobs
from service.store.artifacts.interface import StoredFile
from service.store.session import Store
from service.store.tables import FileRow
from service.upkeep.collector import collect
from tests.service.conftest import Harness

SECONDS = 4.0


def store_file(harness: Harness, folder: Path, key: str) -> StoredFile:
    """A file in the artifact store that no row names yet."""
    path = folder / key.replace("/", "-")
    path.write_bytes(b"x")
    return harness.store.artifacts.put(key, path)


def test_files_of_ended_and_deleted_jobs_that_no_row_names_are_collected(harness: Harness, tmp_path: Path) -> None:
    artifacts = harness.store.artifacts
    running, ended = harness.submit(), harness.submit()
    harness.claim(running)
    fence = harness.claim(ended)
    kept = store_file(harness, tmp_path, f"jobs/{ended}/attempt-1/kept")
    with harness.store.begin() as session:
        files.put(session, ended, "kept", "model", kept)
        importing = imports.create(session, "digits", BuiltinSource(kind="builtin"))
    open_keys = [f"jobs/{running}/attempt-1/a", f"datasets/{importing.id}/attempt-1/x.npy"]
    for key in [*open_keys, f"jobs/{ended}/attempt-1/orphan", "jobs/gone/attempt-1/a", "datasets/gone/attempt-1/x.npy"]:
        store_file(harness, tmp_path, key)
    harness.end(fence)
    assert collect(harness.store) == 0, "what is younger than an hour stays"
    assert collect(harness.store, young_seconds=0) == 3
    assert {*artifacts.keys("jobs"), *artifacts.keys("datasets")} == {kept.key, *open_keys}


@pytest.fixture(params=["file", "database"])
def any_home(request: pytest.FixtureRequest, home: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """SQLite with files, as `up` has it, and Postgres that keeps the files too, as the compose file has it."""
    url = request.getfixturevalue("sqlite_url" if request.param == "file" else "postgres_url")
    artifacts = None if request.param == "file" else "database:"
    store = Store(Settings(home=home, database_url=url, artifact_url=artifacts))
    list_keys = store.artifacts.keys

    def keys(prefix: str, older_than_seconds: float = 0.0) -> list[str]:
        """Takes as long as listing 200,000 files does: jobs start and end before, meanwhile and after."""
        time.sleep(0.3)
        listed = list_keys(prefix, older_than_seconds)
        time.sleep(0.3)
        return listed

    monkeypatch.setattr(store.artifacts, "keys", keys)
    return store


def test_no_named_file_is_ever_missing_while_jobs_start_end_and_are_deleted(any_home: Store, tmp_path: Path) -> None:
    harness, until = Harness(any_home), time.monotonic() + SECONDS
    collected, numbers = count(), count()

    def live() -> None:
        """A job that stores and names files, ends, and is deleted every other time."""
        job_id = harness.submit()
        fence = harness.claim(job_id)
        for name in "abc":
            stored = store_file(harness, tmp_path, f"jobs/{job_id}/attempt-1/{name}")
            with any_home.begin() as session:
                attempts.lock(session, fence)
                files.put(session, job_id, name, "last", stored)
        harness.end(fence)
        for name in "abc":
            b"".join(any_home.artifacts.read(f"jobs/{job_id}/attempt-1/{name}"))
        if next(numbers) % 2:
            actions.delete(any_home, job_id)

    def bring() -> None:
        """An import that stores and names the files of its dataset and ends."""
        with any_home.begin() as session:
            dataset = imports.create(session, f"dataset-{next(numbers)}", BuiltinSource(kind="builtin"))
        fence = harness.claim(dataset.job_id)
        stored = store_file(harness, tmp_path, f"datasets/{dataset.id}/attempt-1/x.npy")
        with any_home.begin() as session:
            attempts.lock(session, fence)
            files.put(session, dataset.id, "x.npy", "dataset", stored)
        harness.end(fence)
        b"".join(any_home.artifacts.read(stored.key))

    def clear() -> None:
        """Twice: on a busy machine one collection may take all the time that there is."""
        for _ in range(2):
            collect(any_home, young_seconds=0)
            next(collected)

    def again(action: Callable[[], None]) -> None:
        while time.monotonic() < until:
            action()

    with ThreadPoolExecutor() as pool:
        list(pool.map(again, (live, live, bring, clear)))
    assert next(collected) > 1
    with any_home.read() as session:
        named = set(session.execute(sa.select(FileRow.artifact)).scalars())
        assert {row.state for row in jobs.list_page(session, limit=500)[0]} == {JobState.SUCCEEDED}
    assert named <= {*any_home.artifacts.keys("jobs"), *any_home.artifacts.keys("datasets")}
    assert len(named) > 10
    any_home.close()


def test_an_upload_that_somebody_is_writing_to_is_not_collected(harness: Harness) -> None:
    uploads = Uploads(harness.store)
    upload = uploads.begin(UploadRequest.model_validate({"name": "big", "filename": "big.zip", "size": 10}))
    with uploads.continuing(upload) as part:
        assert uploads.collect(older_than_seconds=-60) == 0
        part.write(b"0123456789")
    assert uploads.offset(upload) == 10
    assert uploads.collect(older_than_seconds=-60) == 1
