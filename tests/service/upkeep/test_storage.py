"""Bytes by kind: each byte counts once, whichever store holds the files."""

from pathlib import Path

import pytest

from service.settings import Settings
from service.store.session import Store
from service.upkeep.storage import storage
from tests.service.conftest import Harness
from tests.service.simulated_worker import SimulatedWorker


@pytest.mark.parametrize("artifact_url", [None, "database:"])
def test_files_records_and_free_space_are_told_apart(database_url: str, home: Path, artifact_url: str | None) -> None:
    store = Store(Settings(home=home, database_url=database_url, artifact_url=artifact_url))
    before = storage(store).bytes_by_kind
    assert before.keys() == {"records", "free"}
    job_id, worker = Harness(store).submit(), SimulatedWorker(store)
    worker.save_bytes(job_id, "model.safetensors", "model", bytes(2**20))
    for number in range(2):
        worker.save_bytes(job_id, f"last-{number}", "last", bytes(2**19))
    report = storage(store)
    kinds = report.bytes_by_kind
    assert (kinds["model"], kinds["last"]) == (2**20, 2**20)
    assert 0 <= kinds["records"] - before["records"] < 2**19, "files in the database are no records"
    assert report.disk_free > 0
    if artifact_url and store.engine.dialect.name == "sqlite":
        store.artifacts.delete(f"jobs/{job_id}")
        assert storage(store).bytes_by_kind["free"] >= 2**21
    store.close()
