"""Large files in pieces: what has arrived stays, whatever breaks, and the content is the file's in the end."""

import hashlib
import os
import socket
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.api.http import request_bodies
from service.datasets.uploads import Uploads
from service.store.session import Store
from service.upkeep.collector import ABANDONED_SECONDS, collect
from tests.polling import eventually
from tests.service.api.notifications import Notifications
from tests.service.api.server import Server
from tests.service.api.test_datasets import source_of

CONTENT = bytes(range(256)) * 12_000
PIECE_TYPE = "application/offset+octet-stream"


def about(content: bytes = CONTENT, **fields: Any) -> dict[str, Any]:
    return {
        "name": "big",
        "filename": "big.zip",
        "size": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "options": {"drop_corrupt": True},
    } | fields


def begin(client: httpx.Client, **fields: Any) -> str:
    response = client.post("/v1/uploads", json=about(**fields))
    assert response.status_code == 201, response.text
    assert response.headers["location"] == f"/v1/uploads/{response.json()['id']}"
    return response.headers["location"]


def send(client: httpx.Client, address: str, content: bytes, offset: int) -> httpx.Response:
    headers = {"upload-offset": str(offset), "content-type": PIECE_TYPE}
    return client.patch(address, content=content, headers=headers)


def arrived(client: httpx.Client, address: str) -> int:
    head = client.head(address)
    assert head.headers["upload-length"] == str(len(CONTENT))
    return int(head.headers["upload-offset"])


def cut(server: Server, address: str, content: bytes, offset: int) -> socket.socket:
    """A connection that promises everything and sends a part."""
    connection = socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2])))
    head = f"PATCH {address} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpload-Offset: {offset}\r\nContent-Type: {PIECE_TYPE}\r\n"
    connection.sendall(f"{head}Content-Length: {len(CONTENT) - offset}\r\n\r\n".encode() + content)
    return connection


def test_pieces_become_the_file_and_the_last_one_a_dataset(
    client: httpx.Client, store: Store, notifications: Notifications
) -> None:
    address = begin(client)
    first = send(client, address, CONTENT[:1_000_000], 0)
    assert (first.status_code, first.headers["upload-offset"]) == (204, "1000000")
    assert client.get(address).json()["offset"] == arrived(client, address) == 1_000_000
    last = send(client, address, CONTENT[1_000_000:], 1_000_000)
    assert last.status_code == 202, last.text
    assert last.headers["location"] == f"/v1/datasets/{last.json()['id']}"
    assert notifications.received(last.json()["job"])
    source = source_of(store, "big")
    assert (source.filename, source.options.drop_corrupt) == ("big.zip", True)
    assert b"".join(store.artifacts.read(source.artifact)) == CONTENT
    assert client.get(address).json()["dataset"] == last.json()["id"]
    again = send(client, address, b"", len(CONTENT))
    assert (again.status_code, again.json()["id"]) == (202, last.json()["id"])


def test_a_connection_that_breaks_midway_costs_what_was_on_its_way(
    server: Server, client: httpx.Client, store: Store
) -> None:
    address = begin(client)
    with cut(server, address, CONTENT[:2_500_000], 0):
        eventually(lambda: 2 * 2**20 <= arrived(client, address) <= 2_500_000)
    assert begin(client) == address, "the same content for the same purpose goes on"
    eventually(lambda: send(client, address, CONTENT[arrived(client, address) :], arrived(client, address)).is_success)
    assert b"".join(store.artifacts.read(source_of(store, "big").artifact)) == CONTENT


def test_a_second_writer_is_refused(server: Server, client: httpx.Client) -> None:
    address = begin(client)
    with cut(server, address, CONTENT[:1_500_000], 0):
        eventually(lambda: arrived(client, address) >= 2**20)
        refused = send(client, address, b"x", arrived(client, address))
        assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
        assert "another transfer" in refused.json()["detail"]
    eventually(lambda: send(client, address, b"", arrived(client, address)).status_code == 204)


FORM = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.zip"\r\n\r\nabc'


@pytest.mark.parametrize(
    ("method", "path", "headers", "content"),
    [
        ("POST", "/v1/datasets", "Content-Type: multipart/form-data; boundary=x", FORM),
        ("PUT", "/v1/datasets/big?filename=a.zip", "Content-Type: application/octet-stream", b"abc"),
        ("PATCH", "", f"Content-Type: {PIECE_TYPE}\r\nUpload-Offset: 0", CONTENT[: 2**20]),
    ],
)
def test_a_connection_that_falls_silent_is_ended(
    server: Server,
    client: httpx.Client,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    path: str,
    headers: str,
    content: bytes,
) -> None:
    monkeypatch.setattr(request_bodies, "IDLE_SECONDS", 0.3)
    address = "" if path else begin(client)
    with socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2])), timeout=30) as connection:
        head = f"{method} {path or address} HTTP/1.1\r\nHost: 127.0.0.1\r\n{headers}\r\nContent-Length: 3000000\r\n\r\n"
        connection.sendall(head.encode() + content)
        assert connection.recv(2**16).startswith(b"HTTP/1.1 408")
    folder = server.store.settings.home / "uploads"
    if address:
        assert arrived(client, address) == 2**20, "what has arrived stays"
    else:
        eventually(lambda: list(folder.iterdir()) == [])


@pytest.mark.parametrize(
    ("fields", "status", "pointer"),
    [
        ({"size": 11 * 2**20}, 413, None),
        ({"size": 0}, 422, "/size"),
        ({"sha256": "abc"}, 422, "/sha256"),
        ({"name": "../x"}, 422, "/name"),
        ({"filename": ""}, 422, "/filename"),
        ({"options": {"drop": 1}}, 422, "/options/drop"),
    ],
)
def test_faults_are_told_before_anything_is_sent(
    client: httpx.Client, fields: dict[str, Any], status: int, pointer: str | None
) -> None:
    response = client.post("/v1/uploads", json=about(**fields))
    assert response.status_code == status, response.text
    assert [error["pointer"] for error in response.json()["errors"]] == ([pointer] if pointer else [])


def test_wrong_pieces_are_refused_and_leave_what_was_there(client: httpx.Client) -> None:
    address = begin(client)
    send(client, address, CONTENT[:100], 0)
    gap = send(client, address, b"x", 200)
    assert (gap.status_code, "100 bytes have arrived" in gap.json()["detail"]) == (409, True)
    too_much = send(client, address, CONTENT, 100)
    assert (too_much.status_code, "more bytes" in too_much.json()["detail"]) == (422, True)
    nowhere = client.patch(address, content=b"x", headers={"content-type": PIECE_TYPE})
    assert nowhere.json()["errors"][0]["pointer"] == "/header/Upload-Offset"
    assert arrived(client, address) == 100
    for unknown in ("/v1/uploads/nothing", "/v1/uploads/%2e%2e", f"/v1/uploads/{'a' * 36}"):
        assert client.head(unknown).status_code == 404
        assert send(client, unknown, b"x", 0).status_code == 404


def test_content_that_is_not_what_was_announced_is_refused(client: httpx.Client, store: Store) -> None:
    address = begin(client, sha256="0" * 64)
    refused = send(client, address, CONTENT, 0)
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["pointer"] == "/sha256"
    assert client.head(address).status_code == 404
    assert client.get("/v1/datasets/big").status_code == 404
    assert store.artifacts.keys("uploads") == []


def test_an_upload_can_be_given_up(client: httpx.Client, store: Store) -> None:
    address = begin(client)
    send(client, address, CONTENT[:100], 0)
    assert client.delete(address).status_code == 204
    assert client.head(address).status_code == 404
    assert list((store.settings.home / "uploads").iterdir()) == []


def test_a_taken_name_is_told_at_the_beginning(client: httpx.Client) -> None:
    client.post("/v1/datasets", json={"name": "big", "source": {"kind": "builtin", "name": "digits"}})
    assert client.post("/v1/uploads", json=about()).status_code == 409


@pytest.mark.parametrize("stage", ["noted", "stored", "made"])
def test_a_crash_at_the_end_is_made_good_by_the_next_call(client: httpx.Client, store: Store, stage: str) -> None:
    """The process was killed after the last byte: with the artifact noted, or stored, or the dataset made."""
    uploads, address = Uploads(store), begin(client)
    send(client, address, CONTENT[:-1], 0)
    upload = uploads.get(address.rpartition("/")[2])
    with uploads.continuing(upload) as file:
        file.write(CONTENT[-1:])
    if stage == "made":
        made = uploads.finish(upload).id
        uploads.note(upload.model_copy(update={"artifact": source_of(store, "big").artifact}))
        uploads.part(upload).write_bytes(CONTENT)
    else:
        noted = upload.model_copy(update={"artifact": "uploads/01a0-noted"})
        uploads.note(noted)
        if stage == "stored":
            store.artifacts.put("uploads/01a0-noted", uploads.second_name(noted))
    assert arrived(client, address) == len(CONTENT)
    last = send(client, address, b"", len(CONTENT))
    assert last.status_code == 202, last.text
    if stage == "made":
        assert last.json()["id"] == made
    assert b"".join(store.artifacts.read(source_of(store, "big").artifact)) == CONTENT
    assert len(store.artifacts.keys("uploads")) == 1


def test_uploads_that_were_given_up_are_collected(client: httpx.Client, store: Store) -> None:
    fresh, old = begin(client), begin(client, name="other")
    folder = store.settings.home / "uploads"
    (folder / "killed-while-it-came.part").write_bytes(b"x")
    for path in (*folder.glob(f"{old.rpartition('/')[2]}.*"), folder / "killed-while-it-came.part"):
        _age(path)
    collect(store)
    assert client.head(old).status_code == 404
    assert client.head(fresh).status_code == 200
    assert {path.stem for path in folder.iterdir()} == {fresh.rpartition("/")[2]}


def _age(path: Path) -> None:
    os.utime(path, (time.time() - ABANDONED_SECONDS - 10,) * 2)
