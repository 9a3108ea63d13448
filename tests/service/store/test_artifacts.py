"""One suite for every artifact store: what goes in comes out, by range, by pieces, in bounded memory."""

import hashlib
import os
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from service.errors import NotFoundError
from service.ids import new_id
from service.settings import Settings
from service.store.artifacts import open_artifacts
from service.store.artifacts.database import DatabaseStore
from service.store.artifacts.folder import FolderStore
from service.store.artifacts.interface import CHUNK_BYTES, ArtifactStore
from service.store.session import make_engine
from service.store.tables import ArtifactChunkRow

MEBIBYTE = 2**20


@pytest.fixture(params=["file", "database-sqlite", "database-postgres"])
def artifacts(request: pytest.FixtureRequest, home: Path) -> Iterator[ArtifactStore]:
    """Each store, empty."""
    if request.param == "file":
        yield FolderStore(home / "artifacts")
        return
    engine = make_engine(request.getfixturevalue(request.param.removeprefix("database-") + "_url"))
    yield DatabaseStore(engine)
    engine.dispose()


@pytest.fixture
def database(sqlite_url: str) -> Iterator[DatabaseStore]:
    """The chunks in SQLite."""
    engine = make_engine(sqlite_url)
    yield DatabaseStore(engine)
    engine.dispose()


def a_file(folder: Path, size: int) -> tuple[Path, bytes]:
    """A file of random bytes."""
    data = os.urandom(size)
    path = folder / f"{size}.bin"
    path.write_bytes(data)
    return path, data


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES])
def test_what_goes_in_comes_out(artifacts: ArtifactStore, tmp_path: Path, size: int) -> None:
    path, data = a_file(tmp_path, size)
    stored = artifacts.put("jobs/1/attempt-1/model", path)
    assert (stored.key, stored.size) == ("jobs/1/attempt-1/model", size)
    assert stored.sha256 == hashlib.sha256(data).hexdigest()
    assert not path.exists()
    assert b"".join(artifacts.read(stored.key)) == data
    fetched = artifacts.fetch(stored.key, tmp_path / "deep" / "copy.bin")
    assert fetched.read_bytes() == data
    assert [file.name for file in fetched.parent.iterdir()] == ["copy.bin"]


@pytest.mark.parametrize(
    ("start", "stop"),
    [(0, 1), (5, 5), (CHUNK_BYTES - 1, CHUNK_BYTES + 1), (CHUNK_BYTES, 2 * CHUNK_BYTES), (2 * CHUNK_BYTES + 7, None)],
)
def test_range_gives_those_bytes_only(artifacts: ArtifactStore, tmp_path: Path, start: int, stop: int | None) -> None:
    path, data = a_file(tmp_path, 2 * CHUNK_BYTES + 100)
    artifacts.put("a/b", path)
    pieces = list(artifacts.read("a/b", start, stop))
    assert b"".join(pieces) == data[start:stop]
    assert all(len(piece) <= CHUNK_BYTES for piece in pieces)


def test_second_put_replaces_the_first(artifacts: ArtifactStore, tmp_path: Path) -> None:
    artifacts.put("a/b", a_file(tmp_path, 2 * CHUNK_BYTES)[0])
    path, data = a_file(tmp_path, 10)
    assert artifacts.put("a/b", path).size == 10
    assert b"".join(artifacts.read("a/b")) == data


def test_unknown_key_is_not_found(artifacts: ArtifactStore, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        artifacts.read("no/such/key")
    with pytest.raises(NotFoundError):
        artifacts.fetch("no/such/key", tmp_path / "copy")
    assert not (tmp_path / "copy").exists()
    assert artifacts.local_path("no/such/key") is None
    assert artifacts.delete("no/such/key") == 0


def test_delete_takes_the_prefix_and_no_neighbour(artifacts: ArtifactStore, tmp_path: Path) -> None:
    keys = ["jobs/1/attempt-1/a", "jobs/1/attempt-2/b", "jobs/10/attempt-1/a", "jobs/1_/x"]
    for key in keys:
        artifacts.put(key, a_file(tmp_path, 5)[0])
    assert artifacts.keys("jobs") == sorted(keys)
    assert artifacts.keys("jobs/1") == keys[:2]
    assert artifacts.delete("jobs/1") == 2
    assert artifacts.keys("jobs") == sorted(keys[2:])
    assert artifacts.delete("jobs/10/attempt-1/a") == 1
    assert artifacts.keys("jobs") == ["jobs/1_/x"]


def test_interrupted_put_is_no_file(artifacts: ArtifactStore, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        artifacts.put("a/b", tmp_path / "missing")
    assert artifacts.keys("a") == []


def test_put_that_fails_half_way_leaves_the_old_file(database: DatabaseStore, tmp_path: Path) -> None:
    path, data = a_file(tmp_path, CHUNK_BYTES + 5)
    database.put("a/b", path)
    with pytest.raises(IsADirectoryError):
        database.put("a/b", tmp_path)
    assert b"".join(database.read("a/b")) == data


def test_half_a_file_is_forgotten_when_it_is_old(artifacts: ArtifactStore, tmp_path: Path) -> None:
    path, data = a_file(tmp_path, CHUNK_BYTES + 5)
    artifacts.put("a/b", path)
    if isinstance(artifacts, FolderStore):
        (artifacts.folder / "a" / ".b.1.tmp").write_bytes(b"half")
    else:
        assert isinstance(artifacts, DatabaseStore)
        with artifacts.engine.begin() as connection:
            connection.execute(sa.insert(ArtifactChunkRow).values(blob=new_id(), number=0, data=b"half"))
    assert artifacts.keys("a") == ["a/b"]
    assert artifacts.delete_partial(60) == 0
    time.sleep(0.01)
    assert artifacts.delete_partial(0) == 1
    assert artifacts.delete_partial(0) == 0
    assert b"".join(artifacts.read("a/b")) == data


@pytest.mark.parametrize("key", ["", "../outside", "a/../../outside"])
def test_key_that_leaves_the_folder_is_refused(tmp_path: Path, key: str) -> None:
    with pytest.raises(ValueError, match="not an artifact key"):
        FolderStore(tmp_path / "artifacts").put(key, a_file(tmp_path, 1)[0])


def test_large_files_stream_both_ways_in_bounded_memory(artifacts: ArtifactStore, tmp_path: Path) -> None:
    path = tmp_path / "large.bin"
    with path.open("wb") as file:
        for number in range(24):
            file.write(bytes([number]) * MEBIBYTE)
    tracemalloc.start()
    stored = artifacts.put("large", path)
    copy = artifacts.fetch("large", tmp_path / "copy.bin")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert copy.stat().st_size == stored.size == 24 * MEBIBYTE
    assert hashlib.sha256(copy.read_bytes()).hexdigest() == stored.sha256
    assert peak < 12 * MEBIBYTE


def test_setting_chooses_the_store(home: Path, sqlite_url: str) -> None:
    engine = make_engine(sqlite_url)
    folder = open_artifacts(Settings(home=home), engine)
    assert isinstance(folder, FolderStore)
    assert folder.folder == home / "artifacts"
    assert isinstance(open_artifacts(Settings(home=home, artifact_url="database:"), engine), DatabaseStore)
    with pytest.raises(ValueError, match="unknown scheme `ftp`"):
        open_artifacts(Settings(home=home, artifact_url="ftp://host/x"), engine)
    engine.dispose()
