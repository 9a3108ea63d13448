"""Uploads that a broken connection does not end: what has arrived in one file, what shall become of it in another.

`ID.part` holds the bytes that have arrived: its size is the offset from which the transfer goes on, whatever was killed
meanwhile. `ID.json` says what they are; it appears whole or not at all. A lock of the kernel's lets one writer in, and
ends with its process.
"""

import fcntl
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, BinaryIO

from pydantic import BaseModel, ConfigDict

from service.durable import write_durably
from service.errors import ConflictError, NotFoundError
from service.specs.dataset import UploadRequest
from service.store.ids import new_id

ID = re.compile(r"[0-9a-f-]{36}")


class Upload(BaseModel):
    """One upload as it is noted on the disk."""

    model_config = ConfigDict(frozen=True)

    id: str
    request: UploadRequest
    artifact: str | None = None
    """Where the complete file is put, noted before it is put there."""
    dataset: str | None = None
    """The dataset that is imported from it."""


class Uploads:
    """The uploads that this host has begun to receive."""

    def __init__(self, home: Path) -> None:
        self.folder = home / "uploads"

    def begin(self, request: UploadRequest) -> Upload:
        """A new upload, or the unfinished one of the very same content (by SHA-256) for the very same purpose."""
        for upload in self._noted() if request.sha256 else ():
            if upload.request == request and upload.dataset is None:
                return upload
        upload = Upload(id=new_id(), request=request)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.part(upload).touch()
        self.note(upload)
        return upload

    def get(self, upload_id: str) -> Upload:
        """The upload; NotFoundError when there is none."""
        path = self.folder / f"{upload_id}.json"
        if not ID.fullmatch(upload_id) or not path.is_file():
            raise _unknown(upload_id)
        return Upload.model_validate_json(path.read_bytes())

    def part(self, upload: Upload) -> Path:
        """The file of what has arrived; gone once the complete file is in the artifact store."""
        return self.folder / f"{upload.id}.part"

    def second_name(self, upload: Upload) -> Path:
        """Another name of the part's file, to be moved elsewhere: the first stays until that has been done."""
        path = self.folder / f"{upload.id}.done"
        path.unlink(missing_ok=True)
        os.link(self.part(upload), path)
        return path

    def offset(self, upload: Upload) -> int:
        """Bytes that have arrived."""
        try:
            return self.part(upload).stat().st_size
        except FileNotFoundError:
            if upload.artifact is None:
                raise _unknown(upload.id) from None
            return upload.request.size

    def note(self, upload: Upload) -> None:
        """Writes down what is known of it, whole or not at all."""
        write_durably(self.folder / f"{upload.id}.json", lambda file: file.write_text(upload.model_dump_json()))

    @contextmanager
    def writing(self, upload: Upload) -> Iterator[BinaryIO]:
        """The part's file at its end, for one writer at a time; else ConflictError."""
        try:
            file = self.part(upload).open("r+b")
        except FileNotFoundError:
            raise _unknown(upload.id) from None
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise ConflictError("another transfer is writing this upload; wait for it to end") from error
            file.seek(0, os.SEEK_END)
            yield file

    def remove(self, upload: Upload) -> None:
        """Forgets the upload; what it is comes last, so that nothing stays without a name."""
        self.part(upload).unlink(missing_ok=True)
        (self.folder / f"{upload.id}.json").unlink(missing_ok=True)

    def collect(self, older_than_seconds: float) -> int:
        """Removes what nobody has written to for so long: uploads that were given up, and parts of killed transfers."""
        before = time.time() - older_than_seconds
        touched: dict[str, float] = {}
        for path in self.folder.glob("*.*"):
            touched[path.stem] = max(path.stat().st_mtime, touched.get(path.stem, 0.0))
        old = [stem for stem, written in touched.items() if written < before]
        for stem in old:
            for suffix in (".part", ".done", ".tmp", ".json"):
                (self.folder / f"{stem}{suffix}").unlink(missing_ok=True)
        return len(old)

    def _noted(self) -> Iterator[Upload]:
        for path in sorted(self.folder.glob("*.json")):
            with suppress(FileNotFoundError):  # it ended meanwhile
                yield Upload.model_validate_json(path.read_bytes())


def sync(file: IO[Any]) -> None:
    """Waits until what was written is on the disk."""
    file.flush()
    os.fsync(file.fileno())


def _unknown(upload_id: str) -> NotFoundError:
    return NotFoundError(f"no upload has the id `{upload_id}`; begin again with POST /v1/uploads")
