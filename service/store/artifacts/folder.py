"""Artifacts as plain files below one folder."""

import os
import shutil
import stat
import time
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

from service.durable_files import write_durably
from service.errors import NotFoundError
from service.store.artifacts.interface import CHUNK_BYTES, ArtifactStore, StoredFile, sha256_of


class FolderStore(ArtifactStore):
    """Each key is a path below the folder; a file that is put there is renamed, or copied from another file system."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, key: str, path: Path) -> StoredFile:
        stored = StoredFile(key, path.stat().st_size, sha256_of(path))
        write_durably(self._path(key), lambda temporary: shutil.move(path, temporary))
        return stored

    def read(self, key: str, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        path = self.local_path(key)
        if path is None:
            raise NotFoundError(f"no artifact `{key}`")
        return _pieces(path, start, path.stat().st_size if stop is None else stop)

    def local_path(self, key: str) -> Path | None:
        path = self._path(key)
        return path if path.is_file() else None

    def keys(self, prefix: str, older_than_seconds: float = 0.0) -> list[str]:
        path, before = self._path(prefix), time.time() - older_than_seconds
        files = [path] if path.is_file() else [file for file in _below(path) if not file.name.startswith(".")]
        return sorted(file.relative_to(self.folder).as_posix() for file in files if _is_stored(file, before))

    def delete(self, prefix: str) -> int:
        keys = self.keys(prefix)
        for key in keys:
            self._path(key).unlink(missing_ok=True)
        shutil.rmtree(self._path(prefix), ignore_errors=True)
        return len(keys)

    def delete_partial(self, older_than_seconds: float) -> int:
        before = time.time() - older_than_seconds
        partial = [file for file in _below(self.folder) if fnmatch(file.name, ".*.tmp") and _is_stored(file, before)]
        for file in partial:
            file.unlink(missing_ok=True)
        return len(partial)

    def _path(self, key: str) -> Path:
        path = self.folder / key
        if not key or ".." in path.parts:
            raise ValueError(f"not an artifact key: {key!r}")
        return path


def _below(folder: Path) -> Iterator[Path]:
    """Every file below a folder; unlike `rglob`, `os.walk` passes over folders that are deleted meanwhile."""
    return (Path(parent) / name for parent, _, names in os.walk(folder) for name in names)


def _is_stored(file: Path, before: float) -> bool:
    """Whether it is a file that came to its place before then; what is deleted meanwhile is none."""
    try:
        status = file.stat()
    except FileNotFoundError:
        return False
    return stat.S_ISREG(status.st_mode) and status.st_ctime <= before


def _pieces(path: Path, start: int, stop: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(start)
        left = stop - start
        while left > 0 and (data := file.read(min(CHUNK_BYTES, left))):
            left -= len(data)
            yield data
