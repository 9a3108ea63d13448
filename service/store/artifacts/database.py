"""Artifacts as 1 MiB chunks in the database: nothing else needs to be shared between hosts."""

import hashlib
import time
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import Engine, delete, exists, insert, select
from sqlalchemy.orm import Session

from service.errors import NotFoundError
from service.ids import first_id, new_id
from service.store.artifacts.interface import CHUNK_BYTES, ArtifactStore, StoredFile
from service.store.tables import ArtifactChunkRow, ArtifactRow


class DatabaseStore(ArtifactStore):
    """Chunks belong to a blob; a key's row names one. So a key has its old bytes until the new ones are complete.

    A file is put in one transaction a chunk, and a last one in which the key names them.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._reader = engine.execution_options(sqlite_begin="BEGIN DEFERRED")

    def put(self, key: str, path: Path) -> StoredFile:
        digest, size, blob = hashlib.sha256(), 0, new_id()
        with path.open("rb") as file:
            for number, data in enumerate(iter(lambda: file.read(CHUNK_BYTES), b"")):
                digest.update(data)
                size += len(data)
                with Session(self.engine) as session, session.begin():
                    session.execute(insert(ArtifactChunkRow).values(blob=blob, number=number, data=data))
        stored = StoredFile(key, size, digest.hexdigest())
        with Session(self.engine) as session, session.begin():
            _delete(session, [key])
            session.execute(insert(ArtifactRow).values(key=key, blob=blob, size=size, sha256=stored.sha256))
        path.unlink()
        return stored

    def read(self, key: str, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        with Session(self._reader) as session:
            row = session.get(ArtifactRow, key)
        if row is None:
            raise NotFoundError(f"no artifact `{key}`")
        return self._chunks(row.blob, start, row.size if stop is None else min(stop, row.size))

    def _chunks(self, blob: str, start: int, stop: int) -> Iterator[bytes]:
        for number in range(start // CHUNK_BYTES, -(-stop // CHUNK_BYTES)):
            chunk = select(ArtifactChunkRow.data).where(
                ArtifactChunkRow.blob == blob, ArtifactChunkRow.number == number
            )
            with Session(self._reader) as session:
                data = session.execute(chunk).scalar_one()
            offset = number * CHUNK_BYTES
            yield data[max(start - offset, 0) : stop - offset]

    def local_path(self, key: str) -> Path | None:
        return None

    def keys(self, prefix: str, older_than_seconds: float = 0.0) -> list[str]:
        below = ArtifactRow.key.startswith(prefix.rstrip("/") + "/", autoescape=True)
        query = select(ArtifactRow.key).where((ArtifactRow.key == prefix) | below)
        if older_than_seconds:
            query = query.where(ArtifactRow.blob < first_id(time.time() - older_than_seconds))
        with Session(self._reader) as session:
            return sorted(session.execute(query).scalars())

    def delete(self, prefix: str) -> int:
        keys = self.keys(prefix)
        with Session(self.engine) as session, session.begin():
            _delete(session, keys)
        return len(keys)

    def delete_partial(self, older_than_seconds: float) -> int:
        is_named = exists().where(ArtifactRow.blob == ArtifactChunkRow.blob)
        is_old = ArtifactChunkRow.blob < first_id(time.time() - older_than_seconds)
        query = select(ArtifactChunkRow.blob).where(is_old, ~is_named).distinct()
        with Session(self.engine) as session, session.begin():
            blobs = list(session.execute(query).scalars())
            session.execute(delete(ArtifactChunkRow).where(ArtifactChunkRow.blob.in_(blobs)))
        return len(blobs)


def _delete(session: Session, keys: list[str]) -> None:
    for key in keys:
        blob = session.execute(delete(ArtifactRow).where(ArtifactRow.key == key).returning(ArtifactRow.blob)).scalar()
        session.execute(delete(ArtifactChunkRow).where(ArtifactChunkRow.blob == blob))
