"""What belongs to whom: everyone reads everything, a train key changes its own, an admin key all; on both databases."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.states import Actor
from service.store import jobs
from tests.service.api.guarded import ADMIN_KEY, caller, guarded_server, make_key
from tests.service.api.server import Server
from tests.service.conftest import spec
from tests.service.models.weight_files import safetensors

LEAST = {"kind": "train", "dataset": "digits"}


@pytest.fixture
def guarded(home: Path, database_url: str) -> Iterator[Server]:
    """A service that asks for keys."""
    with guarded_server(home, database_url) as running:
        yield running


@pytest.fixture
def callers(guarded: Server) -> Iterator[dict[str, httpx.Client]]:
    """The admin, and two who may train."""
    keys = {"admin": ADMIN_KEY} | {name: make_key(guarded, name) for name in ("alice", "bob")}
    with ExitStack() as stack:
        yield {name: stack.enter_context(caller(guarded, key)) for name, key in keys.items()}


def submit(client: httpx.Client, **fields: Any) -> dict[str, Any]:
    answer = client.post("/v1/jobs", json=LEAST | fields)
    assert answer.status_code == 202, answer.text
    job: dict[str, Any] = answer.json()
    return job


def test_a_train_key_changes_its_own_jobs_only(callers: dict[str, httpx.Client]) -> None:
    job = submit(callers["alice"])
    assert job["owner"] == "alice"
    path = f"/v1/jobs/{job['id']}"
    changes: list[tuple[str, str, Any]] = [
        *(("POST", f"{path}/{action}", None) for action in ("cancel", "pause", "resume", "retry", "clone")),
        ("POST", f"{path}/findings/x/apply", None),
        ("PATCH", path, {"name": "mine"}),
        ("DELETE", path, None),
    ]
    for method, address, body in changes:
        refused = callers["bob"].request(method, address, json=body)
        assert (refused.status_code, "`alice`" in refused.json()["detail"]) == (403, True), (method, address)
        assert callers["bob"].get(path).json() | {"warnings": []} == job
    for method, address, body in changes:
        assert callers["alice"].request(method, address, json=body).status_code != 403, (method, address)


def test_an_admin_key_changes_everything_and_gives_nothing_away(callers: dict[str, httpx.Client]) -> None:
    job = submit(callers["alice"])
    cloned = callers["admin"].post(f"/v1/jobs/{job['id']}/clone").json()
    assert cloned["owner"] == "alice"
    assert callers["admin"].post(f"/v1/jobs/{job['id']}/cancel").json()["state"] == "cancelled"
    for client in (callers["admin"], callers["bob"]):
        states = [e["data"] for e in client.get(f"/v1/jobs/{job['id']}/events").json()["data"] if e["type"] == "state"]
        assert [(data["state"], data["actor"], data["reason"]) for data in states] == [
            ("queued", "alice", "submitted"),
            ("cancelled", "admin", "cancelled"),
        ]
    own = submit(callers["admin"])
    assert own["owner"] == "admin"
    assert callers["alice"].delete(f"/v1/jobs/{own['id']}").status_code == 403


def test_lists_are_filtered_by_owner(guarded: Server, callers: dict[str, httpx.Client]) -> None:
    made = {name: submit(client)["id"] for name, client in callers.items()}
    with guarded.store.begin() as session:
        made["nobody"] = jobs.create(session, spec()).id  # as before there were owners
    for name, ids in {"alice": {made["alice"]}, "admin": {made["admin"], made["nobody"]}, "eve": set()}.items():
        listed = callers["bob"].get("/v1/jobs", params={"owner": name}).json()["data"]
        assert {job["id"] for job in listed} == ids, name
    owners = {name: callers["bob"].get("/v1/datasets", params={"owner": name}).json()["data"] for name in callers}
    assert {name: [row["name"] for row in rows] for name, rows in owners.items()} == {
        "admin": ["digits"],
        "alice": [],
        "bob": [],
    }
    assert callers["alice"].post(f"/v1/jobs/{made['nobody']}/cancel").status_code == 403


def test_datasets_and_uploads_belong_to_who_brought_them(callers: dict[str, httpx.Client]) -> None:
    request = {"name": "table", "filename": "table.csv", "size": 8, "sha256": "0" * 64}
    upload = callers["alice"].post("/v1/uploads", json=request).json()
    assert upload["owner"] == "alice"
    others = callers["bob"].post("/v1/uploads", json=request).json()
    assert (others["owner"], others["id"] != upload["id"]) == ("bob", True)
    path = f"/v1/uploads/{upload['id']}"
    piece = {"upload-offset": "0", "content-type": "application/offset+octet-stream"}
    assert callers["bob"].get(path).status_code == 200
    assert callers["bob"].patch(path, content=b"a,b", headers=piece).status_code == 403
    assert callers["bob"].delete(path).status_code == 403
    assert callers["alice"].patch(path, content=b"a,b", headers=piece).status_code == 204
    assert callers["admin"].delete(path).status_code == 204
    files = {"file": ("table.csv", b"a,label\n1,x\n2,y\n")}
    dataset = callers["alice"].post("/v1/datasets", data={"name": "table"}, files=files).json()
    assert dataset["owner"] == "alice"
    assert callers["bob"].get(f"/v1/jobs/{dataset['job']}").json()["owner"] == "alice"
    refused = callers["bob"].delete("/v1/datasets/table")
    assert (refused.status_code, "`alice`" in refused.json()["detail"]) == (403, True)
    assert callers["alice"].post(f"/v1/jobs/{dataset['job']}/cancel").status_code == 202
    assert callers["alice"].delete("/v1/datasets/table").status_code == 204


def test_an_idempotency_key_is_its_owners(callers: dict[str, httpx.Client]) -> None:
    headers = {"Idempotency-Key": "today"}
    ids = [
        callers[name].post("/v1/jobs", json=LEAST | {"name": name}, headers=headers).json()["id"]
        for name in ("alice", "bob", "alice")
    ]
    assert (ids[0] == ids[2], ids[0] == ids[1]) == (True, False)


def test_no_key_is_called_as_other_actors_are(callers: dict[str, httpx.Client]) -> None:
    for name in Actor:
        refused = callers["admin"].post("/v1/keys", json={"name": name, "scope": "admin"})
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/name")


def test_weights_belong_to_who_uploaded_them(callers: dict[str, httpx.Client]) -> None:
    made = callers["alice"].post("/v1/weights", data={"name": "w"}, files={"file": safetensors({"a": [1]})})
    assert (made.status_code, made.json()["owner"]) == (201, "alice")
    assert callers["bob"].get("/v1/weights/w").json() == made.json()
    assert callers["bob"].delete("/v1/weights/w").status_code == 403
    assert callers["alice"].delete("/v1/weights/w").status_code == 204
