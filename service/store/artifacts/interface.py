"""The interface of every artifact store. Keys are slash-separated names made by the service, never by a client."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from service.durable_files import write_durably

CHUNK_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file in the store: its key, size in bytes and SHA-256."""

    key: str
    size: int
    sha256: str


class ArtifactStore(ABC):
    """Keeps files under keys."""

    @abstractmethod
    def put(self, key: str, path: Path) -> StoredFile:
        """Takes over the file at `path` (it is gone afterwards); an existing key is replaced."""

    @abstractmethod
    def read(self, key: str, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """The bytes from `start` to `stop` (exclusive), in pieces of at most 1 MiB; else NotFoundError."""

    @abstractmethod
    def local_path(self, key: str) -> Path | None:
        """The file itself where the store keeps plain files on this host, else None."""

    @abstractmethod
    def keys(self, prefix: str, older_than_seconds: float = 0.0) -> list[str]:
        """Every key that is `prefix` or lies below `prefix/` and was stored at least so long ago, sorted."""

    @abstractmethod
    def delete(self, prefix: str) -> int:
        """Deletes the key `prefix` and every key below `prefix/`; returns how many."""

    @abstractmethod
    def delete_partial(self, older_than_seconds: float) -> int:
        """Deletes what `put`s that were interrupted longer ago than that left; returns how many."""

    def fetch(self, key: str, destination: Path) -> Path:
        """Writes the file to `destination`, which appears only when it is complete."""
        pieces = self.read(key)

        def write(path: Path) -> None:
            with path.open("wb") as file:
                file.writelines(pieces)

        return write_durably(destination, write)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file as hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
