"""A backup that is made while jobs run is restored: nothing is missing, and no worker from before writes anything."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import optuna
import pytest
import sqlalchemy as sa

from service.errors import ConflictError, NotFoundError, SchemaError
from service.events import StepRecord
from service.ids import new_id
from service.jobs import transitions
from service.settings import Settings
from service.states import JobState
from service.store import attempts, files, metrics, studies, workers
from service.store.artifacts.interface import sha256_of
from service.store.attempts import Fence, LostLeaseError
from service.store.migrate import check_schema, upgrade
from service.store.session import Store
from service.store.tables import FileRow
from service.upkeep import backup, postgres_copy, sqlite_copy
from service.upkeep.backup import MANIFEST, Manifest, back_up
from service.upkeep.fencing import JUMP
from service.upkeep.restore import restore
from tests.service.conftest import Harness, spec


@pytest.fixture(params=["file", "database"])
def harness(request: pytest.FixtureRequest, home: Path) -> Iterator[Harness]:
    """SQLite with files, as `up` has it, and Postgres that keeps the files too, as the compose file has it."""
    url = request.getfixturevalue("postgres_url") if request.param == "database" else None
    store = Store(Settings(home=home, database_url=url, artifact_url="database:" if url else None))
    upgrade(store.engine)
    yield Harness(store)
    store.close()


@pytest.fixture
def elsewhere(harness: Harness, tmp_path: Path, request: pytest.FixtureRequest) -> Settings:
    """Another home of the same kind with nothing in it."""
    if harness.store.engine.dialect.name == "sqlite":
        return Settings(home=tmp_path / "elsewhere")
    url = request.getfixturevalue("empty_postgres_url")
    return Settings(home=tmp_path / "elsewhere", database_url=url, artifact_url="database:")


def save_checkpoint(harness: Harness, fence: Fence, folder: Path, name: str, step: int) -> None:
    """What a worker does at a checkpoint: the file, some points, and the rows that name them."""
    path = folder / name
    path.write_text(f"{fence} {step}")
    stored = harness.store.artifacts.put(f"jobs/{fence.job_id}/attempt-{fence.attempt}/{name}", path)
    with harness.store.begin() as session:
        attempts.lock(session, fence)
        files.put(session, fence.job_id, name, "last", stored, step=step)
        metrics.write(session, fence.job_id, [StepRecord(step, 1, {"train/loss": float(step)})])
        pruned = files.prune(session, fence.job_id)
    for key in pruned:
        harness.store.artifacts.delete(key)


def check_files(store: Store, folder: Path) -> int:
    """Every file that a row names is there and is what the row says; returns how many there are."""
    with store.read() as session:
        rows = list(session.execute(sa.select(FileRow)).scalars())
    for row in rows:
        assert sha256_of(store.artifacts.fetch(row.artifact, folder / "fetched")) == row.sha256
    return len(rows)


def test_running_jobs_of_a_backup_wait_again_and_their_old_workers_write_nothing(
    harness: Harness, elsewhere: Settings, tmp_path: Path
) -> None:
    running, paused, ended, waiting = (harness.submit() for _ in range(4))
    harness.end(harness.claim(ended))
    fence, pausing = harness.claim(running), harness.claim(paused)
    for step in range(1, 4):
        save_checkpoint(harness, fence, tmp_path, f"step-{step}", step)
    with harness.store.begin() as session:
        transitions.request_pause(session, paused)
        workers.register(session, "w1", host="h", pid=1, slots=1, devices=[])
    manifest = back_up(harness.store, tmp_path / "backup")
    save_checkpoint(harness, fence, tmp_path, "after", 4)
    late = harness.claim(waiting, "w2")

    restore(elsewhere, tmp_path / "backup")
    restored = Harness(Store(elsewhere))
    assert check_files(restored.store, tmp_path) == 2
    assert len(manifest.files) == (0 if restored.store.settings.artifact_url else 2)
    states = {job_id: restored.state(job_id) for job_id in (running, paused, ended, waiting)}
    assert list(states.values()) == [JobState.QUEUED, JobState.PAUSED, JobState.SUCCEEDED, JobState.QUEUED]
    assert (restored.job(ended).attempt, restored.job(running).lost_attempts) == (1, 0)
    again = restored.claim(running)
    assert again.attempt == fence.attempt + JUMP + 1
    for stale in (fence, pausing, late):
        with pytest.raises(LostLeaseError), restored.store.begin() as session:
            attempts.lock(session, stale)
    with restored.store.read() as session:
        assert workers.listed(session) == []
    save_checkpoint(restored, again, tmp_path, "next", 4)
    save_checkpoint(
        restored, restored.claim(waiting), tmp_path, "other", 1
    )  # a series of its own gets an id of its own
    restored.store.close()


def test_a_service_in_use_is_replaced_only_when_told(harness: Harness, tmp_path: Path) -> None:
    kept = harness.submit()
    fence = harness.claim(kept)
    save_checkpoint(harness, fence, tmp_path, "step-1", 1)
    back_up(harness.store, tmp_path / "backup")
    lost = harness.submit()
    with pytest.raises(ConflictError, match="--replace"):
        restore(harness.store.settings, tmp_path / "backup")
    restore(harness.store.settings, tmp_path / "backup", replace=True)
    assert harness.state(kept) == JobState.QUEUED
    with pytest.raises(NotFoundError):
        harness.job(lost)
    with pytest.raises(LostLeaseError):
        save_checkpoint(harness, fence, tmp_path, "step-2", 2)  # its connections are those from before
    check_schema(harness.store.engine)
    assert check_files(harness.store, tmp_path) == 1


@contextmanager
def study_of(store: Store, job_id: str) -> Iterator[optuna.Study]:
    """The job's study, with three more trials."""
    storage = optuna.storages.RDBStorage(studies.address(store, job_id))
    study = optuna.create_study(storage=storage, study_name="s", load_if_exists=True)
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=3)
    yield study
    storage.remove_session()
    storage.engine.dispose()


def test_studies_go_on_from_a_backup(harness: Harness, elsewhere: Settings, tmp_path: Path) -> None:
    job_id = new_id()
    with study_of(harness.store, job_id) as study:
        values = [trial.values for trial in study.trials]
        back_up(harness.store, tmp_path / "backup")
    restore(elsewhere, tmp_path / "backup")
    store = Store(elsewhere)
    assert studies.kept(store) == [job_id]
    with study_of(store, job_id) as restored:
        assert [trial.values for trial in restored.trials][:3] == values
        assert [trial.number for trial in restored.trials] == list(range(6))
    store.close()


def test_files_that_are_replaced_while_they_are_copied_are_copied_again(
    home: Path, sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness = Harness(Store(Settings(home=home, database_url=sqlite_url)))
    fence = harness.claim(harness.submit())
    steps = iter(range(1, 7))
    save = sqlite_copy.save

    def save_and_go_on(store: Store, folder: Path) -> dict[str, str | None]:
        """The job stores two more checkpoints after the copy of the database, so that those in it are deleted."""
        named = save(store, folder)
        for step in (step for _, step in zip(range(2), steps, strict=False)):
            save_checkpoint(harness, fence, tmp_path, f"step-{step}", step)
        return named

    for step in (next(steps), next(steps)):
        save_checkpoint(harness, fence, tmp_path, f"step-{step}", step)
    monkeypatch.setattr(sqlite_copy, "save", save_and_go_on)
    manifest = back_up(harness.store, tmp_path / "backup")
    assert [key.rpartition("/")[2] for key in sorted(manifest.files)] == ["step-5", "step-6"]
    artifacts = tmp_path / "backup" / backup.ARTIFACTS
    assert len([path for path in artifacts.rglob("*") if path.is_file()]) == 2
    harness.store.close()


def test_a_backup_needs_a_folder_of_its_own(harness: Harness, tmp_path: Path) -> None:
    (tmp_path / "other").write_text("x")
    with pytest.raises(ConflictError, match="not empty"):
        back_up(harness.store, tmp_path)


def test_what_is_no_whole_backup_is_refused(harness: Harness, elsewhere: Settings, tmp_path: Path) -> None:
    harness.submit()
    folder = tmp_path / "backup"
    back_up(harness.store, folder)
    manifest = Manifest.read(folder)
    newer = asdict(manifest) | {"schema": "9999", "program": "9.0.0"}
    (folder / MANIFEST).write_text(json.dumps(newer))
    with pytest.raises(SchemaError, match=r"version 9.0.0 .* upgrade the program"):
        restore(elsewhere, folder)
    (folder / MANIFEST).write_text(json.dumps(asdict(manifest)))
    name = next(iter(manifest.copies))
    (folder / backup.DATABASE / name).write_bytes(b"x")
    with pytest.raises(ConflictError, match=f"damaged: .*{name}"):
        restore(elsewhere, folder)
    (folder / MANIFEST).unlink()
    with pytest.raises(NotFoundError, match="no complete backup"):
        restore(elsewhere, folder)


def test_a_backup_of_an_older_schema_is_migrated(harness: Harness, elsewhere: Settings, tmp_path: Path) -> None:
    """As this program makes it, but with the database of an earlier one."""
    old, folder, tables = Store(elsewhere), tmp_path / "backup", sa.MetaData()
    upgrade(old.engine, "0002")
    tables.reflect(old.engine)
    job = {"id": "old", "kind": "train", "state": "running", "attempt": 1, "worker_id": "w1", "lost_attempts": 0}
    job |= {"spec": spec().model_dump(mode="json"), "progress": 0, "priority": 0, "labels": {}, "next_seq": 1}
    with old.engine.begin() as connection:
        connection.execute(tables.tables["jobs"].insert().values(created_at=datetime(2026, 1, 1, tzinfo=UTC), **job))
    manifest = back_up(harness.store, folder)
    shutil.rmtree(folder / backup.DATABASE)
    (folder / backup.DATABASE).mkdir()
    save = sqlite_copy.save if old.engine.dialect.name == "sqlite" else postgres_copy.save
    save(old, folder / backup.DATABASE)
    old.close()
    copies = {path.name: sha256_of(path) for path in (folder / backup.DATABASE).iterdir()}
    (folder / MANIFEST).write_text(json.dumps(asdict(manifest) | {"schema": "0002", "copies": copies}))
    restore(harness.store.settings, folder)
    assert (harness.state("old"), harness.job("old").attempt) == (JobState.QUEUED, JUMP + 1)
