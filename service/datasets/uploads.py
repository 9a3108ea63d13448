"""Files that people upload: in one request, or in pieces, so that a broken connection does not end the transfer.

`ID.part` holds the bytes that have arrived: its size is the offset from which a transfer in pieces goes on, whatever
was killed meanwhile. `ID.json` says what they are; it appears whole or not at all. A lock of the kernel's lets one
writer in, and ends with its process.
"""

import fcntl
import os
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from pydantic import BaseModel, ConfigDict

from service.datasets import imports
from service.durable_files import write_durably
from service.errors import ConflictError, DiskFullError, FieldError, InvalidRequestError, NotFoundError, TooLargeError
from service.ids import new_id
from service.reports.dataset import UploadReport
from service.specs.dataset import UploadRequest
from service.store import datasets
from service.store.artifacts.interface import StoredFile, sha256_of
from service.store.session import Store
from service.store.tables import DatasetRow
from service.volumes import free_bytes

ID = re.compile(r"[0-9a-f-]{36}")


class Upload(BaseModel):
    """A transfer in pieces, as it is noted on the disk."""

    model_config = ConfigDict(frozen=True)

    id: str
    request: UploadRequest
    owner: str | None = None
    """Name of the key that began it."""
    artifact: str | None = None
    """Where the complete file is put, noted before it is put there."""
    dataset: str | None = None
    """The dataset that is imported from it."""


class PartFile:
    """A file that is arriving, at most `size` bytes of it."""

    def __init__(self, path: Path, file: BinaryIO, size: int | None = None) -> None:
        self.path, self._file, self._size = path, file, size
        self.offset = file.tell()
        """Bytes that had arrived before."""

    def write(self, piece: bytes) -> None:
        """Appends a piece; one too many takes back what this transfer has appended."""
        if self._size is not None and self._file.tell() + len(piece) > self._size:
            self._file.truncate(self.offset)
            raise InvalidRequestError(
                f"more bytes than the {self._size:,} that the upload was to have; nothing was kept"
            )
        self._file.write(piece)

    def sync(self) -> None:
        """Waits until what was written is on the disk."""
        self._file.flush()
        os.fsync(self._file.fileno())


class Uploads:
    """The files that this host is receiving."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.folder = store.settings.home / "uploads"

    @contextmanager
    def receiving(self) -> Iterator[PartFile]:
        """A new file, for one request; what has not been moved elsewhere at the end is deleted."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{new_id()}.part"
        try:
            with path.open("xb") as file:
                yield PartFile(path, file)
        finally:
            path.unlink(missing_ok=True)

    @contextmanager
    def stored(self, path: Path) -> Iterator[StoredFile]:
        """A received file, moved into the artifact store; deleted at the end unless a dataset was made of it."""
        stored = self.store.artifacts.put(f"uploads/{new_id()}", path)
        try:
            yield stored
        finally:
            self._delete_unused(stored.key)

    def begin(self, request: UploadRequest, owner: str | None = None) -> Upload:
        """A new transfer, or the owner's unfinished one of the same content (by SHA-256) for the same purpose."""
        limit = self.store.settings.max_upload_bytes
        if request.size > limit:
            raise TooLargeError(f"{request.size:,} bytes are over the limit of {limit:,}")
        imports.check_name(self.store, request.name)
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._beginning():
            begun = self._unfinished(request, owner) if request.sha256 else None
            upload = begun or Upload(id=new_id(), request=request, owner=owner)
            self._check_room(request.size - (self.offset(begun) if begun else 0), upload.id)
            if begun is None:
                self.part(upload).touch()
                self.note(upload)
        return upload

    @contextmanager
    def _beginning(self) -> Iterator[None]:
        """One upload begins at a time: each counts what the others are still to bring."""
        folder = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield
        finally:
            os.close(folder)

    def _check_room(self, missing: int, upload_id: str) -> None:
        """DiskFullError when the disk cannot hold so much beside what other uploads are still to bring."""
        reserved = 0
        for other in self._noted():
            with suppress(NotFoundError):  # it was given up meanwhile
                reserved += other.request.size - self.offset(other) if other.id != upload_id else 0
        if missing + reserved > free_bytes(self.folder):
            beside = f" beside the {reserved:,} of uploads that have begun" if reserved else ""
            raise DiskFullError(f"the service's disk has no room for {missing:,} more bytes{beside}")

    def get(self, upload_id: str) -> Upload:
        """The upload; NotFoundError when there is none."""
        path = self.folder / f"{upload_id}.json"
        if not ID.fullmatch(upload_id) or not path.is_file():
            raise _unknown(upload_id)
        return Upload.model_validate_json(path.read_bytes())

    def report(self, upload: Upload) -> UploadReport:
        """The upload as clients see it."""
        fields = upload.request.model_dump(exclude={"options"})
        return UploadReport(
            id=upload.id, offset=self.offset(upload), owner=upload.owner, dataset=upload.dataset, **fields
        )

    def part(self, upload: Upload) -> Path:
        """The file of what has arrived; gone once the dataset has been made."""
        return self.folder / f"{upload.id}.part"

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
    def continuing(self, upload: Upload, offset: int | None = None) -> Iterator[PartFile]:
        """The part's file at its end, for one writer at a time, who knows how much has arrived; else ConflictError.

        What is appended stays, however the transfer ends.
        """
        try:
            file = self.part(upload).open("r+b")
        except FileNotFoundError:
            self.get(upload.id)
            raise ConflictError("another transfer has just ended this upload; ask what became of it") from None
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise ConflictError("another transfer is writing this upload; wait for it to end") from error
            if os.fstat(file.fileno()).st_nlink == 0:
                raise _unknown(upload.id)  # it was deleted before the lock was held
            arrived = file.seek(0, os.SEEK_END)
            if offset not in (None, arrived):
                raise ConflictError(f"{arrived:,} bytes have arrived, not {offset:,}; go on from there")
            yield PartFile(self.part(upload), file, upload.request.size)

    def finish(self, upload: Upload) -> DatasetRow:
        """Makes the dataset of a complete upload, once; after a crash, whenever it was, the next call goes on."""
        if upload.dataset is None:
            with self.continuing(upload):
                upload = self.get(upload.id)  # as nobody but this call can change it now
                if upload.dataset is None:
                    upload = self._finish(upload)
        self.part(upload).unlink(missing_ok=True)
        with self.store.read() as session:
            return datasets.get(session, str(upload.dataset))

    def _finish(self, upload: Upload) -> Upload:
        """Each stage is noted before it is entered."""
        artifact = upload.artifact or f"uploads/{new_id()}"
        with self.store.read() as session:
            row = datasets.imported_from(session, artifact)
        if row is None:
            imports.check_name(self.store, upload.request.name)
            self._check_content(upload)
            self.note(upload.model_copy(update={"artifact": artifact}))
            self.store.artifacts.put(artifact, self.second_name(upload))
            with self.store.begin(upload.owner) as session:
                row = imports.create_from_file(session, upload.request, artifact)
        upload = upload.model_copy(update={"artifact": artifact, "dataset": row.id})
        self.note(upload)
        return upload

    def second_name(self, upload: Upload) -> Path:
        """Another name of the part's file, to be moved elsewhere: the first stays until the dataset has been made."""
        path = self.folder / f"{upload.id}.done"
        path.unlink(missing_ok=True)
        os.link(self.part(upload), path)
        return path

    def give_up(self, upload: Upload) -> None:
        """Deletes what has arrived; a dataset that was made of it stays."""
        self._forget(upload)
        if upload.artifact is not None:
            self._delete_unused(upload.artifact)

    def collect(self, older_than_seconds: float) -> int:
        """Removes what nobody has written to for so long: uploads that were given up, and parts of killed transfers."""
        before = time.time() - older_than_seconds
        return sum(self._collect(stem, before) for stem in {path.stem for path in self.folder.glob("*.*")})

    def _collect(self, stem: str, before: float) -> bool:
        """Deletes an upload's files, unless a transfer holds its part or wrote to one of them since then."""
        with ExitStack() as locked:
            with suppress(FileNotFoundError):
                part = locked.enter_context((self.folder / f"{stem}.part").open("rb"))
                try:
                    fcntl.flock(part, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    return False
            paths = list(self.folder.glob(f"{stem}.*"))
            if any(_written_at(path) >= before for path in paths):
                return False
            for path in paths:
                path.unlink(missing_ok=True)
            return bool(paths)

    def _noted(self) -> Iterator[Upload]:
        for path in sorted(self.folder.glob("*.json")):
            with suppress(FileNotFoundError):  # it ended meanwhile
                yield Upload.model_validate_json(path.read_bytes())

    def _unfinished(self, request: UploadRequest, owner: str | None) -> Upload | None:
        sought = (request, owner, None)
        uploads = (upload for upload in self._noted() if (upload.request, upload.owner, upload.dataset) == sought)
        return next(uploads, None)

    def _check_content(self, upload: Upload) -> None:
        announced = upload.request.sha256
        if announced is not None and (arrived := sha256_of(self.part(upload))) != announced:
            self._forget(upload)
            detail = f"what has arrived has the SHA-256 {arrived}, not {announced}; it is deleted, begin again"
            raise InvalidRequestError(detail, [FieldError(pointer="/sha256", detail=detail)])

    def _forget(self, upload: Upload) -> None:
        """What it is comes last, so that nothing stays without a name."""
        self.part(upload).unlink(missing_ok=True)
        (self.folder / f"{upload.id}.json").unlink(missing_ok=True)

    def _delete_unused(self, artifact: str) -> None:
        with self.store.read() as session:
            is_used = datasets.imported_from(session, artifact) is not None
        if not is_used:
            self.store.artifacts.delete(artifact)


def _written_at(path: Path) -> float:
    """When a file was last written to; what is gone meanwhile was not written to for ever."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _unknown(upload_id: str) -> NotFoundError:
    return NotFoundError(f"no upload has the id `{upload_id}`; begin again with POST /v1/uploads")
