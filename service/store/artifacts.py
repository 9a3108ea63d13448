"""Where files live: a folder (`file:`) or 1 MiB chunks in the database (`database:`), behind one small interface."""

import hashlib
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from sqlalchemy import Engine, delete, exists, insert, select
from sqlalchemy.orm import Session

from service.durable_files import write_durably
from service.errors import NotFoundError
from service.settings import Settings
from service.store.ids import first_id, new_id
from service.store.tables import ArtifactChunkRow, ArtifactRow

CHUNK_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file in the store: its key, size in bytes and SHA-256."""

    key: str
    size: int
    sha256: str


class ArtifactStore(Protocol):
    """Keys are slash-separated names made by the service, never by a client."""

    def put(self, key: str, path: Path) -> StoredFile:
        """Takes over the file at `path` (it is gone afterwards); an existing key is replaced."""

    def read(self, key: str, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """The bytes from `start` to `stop` (exclusive), in pieces of at most 1 MiB; else NotFoundError."""

    def fetch(self, key: str, destination: Path) -> Path:
        """Writes the file to `destination`, which appears only when it is complete."""

    def local_path(self, key: str) -> Path | None:
        """The file itself where the store keeps plain files on this host, else None."""

    def delete(self, prefix: str) -> int:
        """Removes the key `prefix` and every key below `prefix/`; returns how many."""

    def keys(self, prefix: str) -> list[str]:
        """Every key that is `prefix` or lies below `prefix/`, sorted."""

    def delete_partial(self, older_than_seconds: float) -> int:
        """Removes what interrupted `put`s left longer ago than that; returns how many."""


def open_artifacts(settings: Settings, engine: Engine) -> ArtifactStore:
    """The store that `ARTIFACT_URL` names."""
    scheme, _, rest = settings.artifacts.partition(":")
    match scheme:
        case "file":
            return FolderStore(Path(rest.removeprefix("//")).expanduser())
        case "database":
            return DatabaseStore(engine)
        case _:
            raise ValueError(f"TRAINWRIGHT_ARTIFACT_URL: unknown scheme `{scheme}`; known: file:, database:")


def sha256_of(path: Path) -> str:
    """SHA-256 of a file as hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class FolderStore:
    """Plain files below one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, key: str, path: Path) -> StoredFile:
        """See `ArtifactStore`: a rename where both lie on one file system, else a copy."""
        stored = StoredFile(key, path.stat().st_size, sha256_of(path))
        write_durably(self._path(key), lambda temporary: shutil.move(path, temporary))
        return stored

    def read(self, key: str, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """See `ArtifactStore`."""
        path = self.local_path(key)
        if path is None:
            raise NotFoundError(f"no artifact `{key}`")
        return _pieces(path, start, path.stat().st_size if stop is None else stop)

    def fetch(self, key: str, destination: Path) -> Path:
        """See `ArtifactStore`."""
        return _write(destination, self.read(key))

    def local_path(self, key: str) -> Path | None:
        """See `ArtifactStore`."""
        path = self._path(key)
        return path if path.is_file() else None

    def delete(self, prefix: str) -> int:
        """See `ArtifactStore`."""
        found = self.keys(prefix)
        for key in found:
            self._path(key).unlink(missing_ok=True)
        shutil.rmtree(self._path(prefix), ignore_errors=True)
        return len(found)

    def keys(self, prefix: str) -> list[str]:
        """See `ArtifactStore`."""
        path = self._path(prefix)
        if path.is_file():
            return [prefix]
        files = (file for file in path.rglob("*") if file.is_file() and not file.name.startswith("."))
        return sorted(file.relative_to(self.folder).as_posix() for file in files)

    def delete_partial(self, older_than_seconds: float) -> int:
        """See `ArtifactStore`."""
        before = time.time() - older_than_seconds
        partial = [file for file in self.folder.rglob(".*.tmp") if file.stat().st_mtime < before]
        for file in partial:
            file.unlink(missing_ok=True)
        return len(partial)

    def _path(self, key: str) -> Path:
        path = self.folder / key
        if not key or ".." in path.parts:
            raise ValueError(f"not an artifact key: {key!r}")
        return path


class DatabaseStore:
    """1 MiB chunks in the database: nothing else needs to be shared between hosts.

    Chunks belong to a blob; a key's row names one. So a key has its old bytes until the new ones are complete.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._reader = engine.execution_options(sqlite_begin="BEGIN DEFERRED")

    def put(self, key: str, path: Path) -> StoredFile:
        """See `ArtifactStore`: one transaction a chunk, then one that lets the key name them."""
        digest, size, blob = hashlib.sha256(), 0, new_id()
        with path.open("rb") as file:
            for number, data in enumerate(iter(lambda: file.read(CHUNK_BYTES), b"")):
                digest.update(data)
                size += len(data)
                with Session(self.engine) as session, session.begin():
                    session.execute(insert(ArtifactChunkRow).values(blob=blob, number=number, data=data))
        stored = StoredFile(key, size, digest.hexdigest())
        with Session(self.engine) as session, session.begin():
            _remove(session, [key])
            session.execute(insert(ArtifactRow).values(key=key, blob=blob, size=size, sha256=stored.sha256))
        path.unlink()
        return stored

    def read(self, key: str, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """See `ArtifactStore`."""
        with Session(self._reader) as session:
            row = session.get(ArtifactRow, key)
        if row is None:
            raise NotFoundError(f"no artifact `{key}`")
        return self._chunks(row.blob, start, row.size if stop is None else min(stop, row.size))

    def _chunks(self, blob: str, start: int, stop: int) -> Iterator[bytes]:
        for number in range(start // CHUNK_BYTES, -(-stop // CHUNK_BYTES)):
            place = (ArtifactChunkRow.blob == blob, ArtifactChunkRow.number == number)
            with Session(self._reader) as session:
                data = session.execute(select(ArtifactChunkRow.data).where(*place)).scalar_one()
            offset = number * CHUNK_BYTES
            yield data[max(start - offset, 0) : stop - offset]

    def fetch(self, key: str, destination: Path) -> Path:
        """See `ArtifactStore`."""
        return _write(destination, self.read(key))

    def local_path(self, key: str) -> Path | None:
        """See `ArtifactStore`: there is never one."""
        return None

    def delete(self, prefix: str) -> int:
        """See `ArtifactStore`."""
        found = self.keys(prefix)
        with Session(self.engine) as session, session.begin():
            _remove(session, found)
        return len(found)

    def keys(self, prefix: str) -> list[str]:
        """See `ArtifactStore`."""
        below = ArtifactRow.key.startswith(prefix.rstrip("/") + "/", autoescape=True)
        with Session(self._reader) as session:
            return sorted(session.execute(select(ArtifactRow.key).where((ArtifactRow.key == prefix) | below)).scalars())

    def delete_partial(self, older_than_seconds: float) -> int:
        """See `ArtifactStore`."""
        named = exists().where(ArtifactRow.blob == ArtifactChunkRow.blob)
        old = ArtifactChunkRow.blob < first_id(time.time() - older_than_seconds)
        wanted = select(ArtifactChunkRow.blob).where(old, ~named).distinct()
        with Session(self.engine) as session, session.begin():
            blobs = list(session.execute(wanted).scalars())
            session.execute(delete(ArtifactChunkRow).where(ArtifactChunkRow.blob.in_(blobs)))
        return len(blobs)


def _remove(session: Session, keys: list[str]) -> None:
    for key in keys:
        blob = session.execute(delete(ArtifactRow).where(ArtifactRow.key == key).returning(ArtifactRow.blob)).scalar()
        session.execute(delete(ArtifactChunkRow).where(ArtifactChunkRow.blob == blob))


def _pieces(path: Path, start: int, stop: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(start)
        left = stop - start
        while left > 0 and (data := file.read(min(CHUNK_BYTES, left))):
            left -= len(data)
            yield data


def _write(destination: Path, pieces: Iterator[bytes]) -> Path:
    def write(path: Path) -> None:
        with path.open("wb") as file:
            file.writelines(pieces)

    return write_durably(destination, write)
