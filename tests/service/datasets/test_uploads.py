"""Files that people upload: what breaks off leaves nothing or what had arrived, and one file makes one dataset."""

import hashlib
import os
from pathlib import Path
from threading import Barrier, Thread

import pytest

from service.datasets import imports
from service.datasets.uploads import PartFile, Upload, Uploads
from service.errors import ConflictError, DiskFullError, InvalidRequestError, NotFoundError, TooLargeError
from service.specs.dataset import UploadFields, UploadRequest
from service.store import datasets
from service.store.session import Store

CONTENT = bytes(range(256)) * 100
DIGEST = hashlib.sha256(CONTENT).hexdigest()


def request(**fields: object) -> UploadRequest:
    return UploadRequest.model_validate(
        {"name": "big", "filename": "big.zip", "size": len(CONTENT), "sha256": DIGEST} | fields
    )


def arrived(uploads: Uploads) -> Upload:
    """An upload whose every byte is there."""
    upload = uploads.begin(request())
    with uploads.continuing(upload, 0) as part:
        part.write(CONTENT)
    return upload


def break_off(part: PartFile, content: bytes) -> None:
    """A transfer that ends after so much."""
    part.write(content)
    raise RuntimeError


def test_a_file_of_one_request_is_gone_with_it_unless_it_is_moved(store: Store, tmp_path: Path) -> None:
    uploads = Uploads(store)
    with pytest.raises(RuntimeError), uploads.receiving() as part:
        break_off(part, CONTENT)
    with uploads.receiving() as part:
        part.write(CONTENT)
        part.sync()
        os.replace(part.path, tmp_path / "moved")
    assert list(uploads.folder.iterdir()) == []
    assert (tmp_path / "moved").read_bytes() == CONTENT


def test_a_stored_file_stays_only_where_a_dataset_was_made_of_it(store: Store, tmp_path: Path) -> None:
    uploads = Uploads(store)
    for name in ("kept", "refused"):
        (tmp_path / name).write_bytes(CONTENT)
        with uploads.stored(tmp_path / name) as stored:
            assert stored.sha256 == DIGEST
            if name == "kept":
                with store.begin() as session:
                    imports.create_from_file(session, UploadFields(name=name, filename="a.zip"), stored.key)
    assert len(store.artifacts.keys("uploads")) == 1


def test_a_transfer_goes_on_where_it_broke_off(store: Store) -> None:
    uploads = Uploads(store)
    upload = uploads.begin(request())
    with pytest.raises(RuntimeError), uploads.continuing(upload, 0) as part:
        break_off(part, CONTENT[:1000])
    assert uploads.begin(request()) == upload, "the same content for the same purpose"
    assert uploads.begin(request(name="other")) != upload
    with pytest.raises(ConflictError, match="1,000 bytes have arrived"), uploads.continuing(upload, 999):
        pass
    with pytest.raises(InvalidRequestError, match="nothing was kept"), uploads.continuing(upload, 1000) as part:
        part.write(CONTENT + b"x")
    assert uploads.report(upload).offset == 1000
    with uploads.continuing(upload), pytest.raises(ConflictError, match="another transfer"):
        uploads.continuing(upload).__enter__()


def test_a_note_that_was_half_written_is_none(store: Store) -> None:
    uploads = Uploads(store)
    upload = uploads.begin(request())
    (uploads.folder / f"{upload.id}.tmp").write_text('{"id": ')
    assert uploads.get(upload.id) == upload


def test_what_cannot_become_a_dataset_is_refused_before_anything_is_made(store: Store) -> None:
    uploads = Uploads(store)
    with pytest.raises(TooLargeError, match="over the limit"):
        uploads.begin(request(size=store.settings.max_upload_bytes + 1))
    with store.begin() as session:
        imports.create_from_file(session, UploadFields(name="big", filename="a.zip"), "uploads/0")
    with pytest.raises(ConflictError, match="`big` exists"):
        uploads.begin(request())
    assert not uploads.folder.exists() or list(uploads.folder.iterdir()) == []


def test_two_that_finish_one_upload_make_one_dataset(store: Store) -> None:
    uploads = Uploads(store)
    upload = arrived(uploads)
    start, made = Barrier(2), list[str]()

    def finish() -> None:
        start.wait()
        while True:
            try:
                made.append(uploads.finish(uploads.get(upload.id)).id)
                return
            except ConflictError:
                continue

    threads = [Thread(target=finish) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 2
    assert made[0] == made[1] == uploads.get(upload.id).dataset
    assert len(store.artifacts.keys("uploads")) == 1
    assert [path.name for path in uploads.folder.iterdir()] == [f"{upload.id}.json"]


def test_a_finished_upload_that_is_given_up_leaves_its_dataset(store: Store) -> None:
    uploads = Uploads(store)
    row = uploads.finish(arrived(uploads))
    [note] = uploads.folder.glob("*.json")
    uploads.give_up(uploads.get(note.stem))
    with pytest.raises(NotFoundError):
        uploads.get(note.stem)
    with store.read() as session:
        assert datasets.get(session, "big").id == row.id
    assert len(store.artifacts.keys("uploads")) == 1


def test_uploads_reserve_the_room_that_they_will_need(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    uploads = Uploads(store)
    monkeypatch.setattr("service.datasets.uploads.free_bytes", lambda _: 2500)
    first = uploads.begin(request(name="a", size=1000))
    uploads.begin(request(name="b", size=1000))
    with pytest.raises(DiskFullError, match="beside the 2,000 of uploads"):
        uploads.begin(request(name="c", size=1000))
    uploads.give_up(first)
    uploads.begin(request(name="c", size=1000))
