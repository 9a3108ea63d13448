"""Importing, uploading, looking at and deleting datasets."""

import io
import signal
import subprocess
import sys
import unicodedata
from typing import Any
from urllib.parse import quote

import httpx
import numpy as np
import pytest
from PIL import Image

from service.jobs import transitions
from service.specs.dataset import ImportSpec, UploadSource
from service.store import datasets, jobs
from service.store.session import Store
from service.upkeep.collector import collect
from tests.service.api.notifications import Notifications
from tests.service.simulated_worker import SimulatedWorker

DIGITS = {"name": "digits", "source": {"kind": "builtin", "name": "digits"}}


def source_of(store: Store, dataset_id: str) -> UploadSource:
    """The source that the import of a dataset will read."""
    with store.read() as session:
        spec = ImportSpec.model_validate(jobs.get(session, datasets.get(session, dataset_id).job_id).spec)
    assert isinstance(spec.source, UploadSource)
    return spec.source


def uploads(store: Store) -> list[str]:
    return store.artifacts.keys("uploads")


def test_an_import_is_a_background_job(client: httpx.Client, notifications: Notifications) -> None:
    response = client.post("/v1/datasets", json=DIGITS)
    assert response.status_code == 202, response.text
    dataset = response.json()
    assert response.headers["location"] == f"/v1/datasets/{dataset['id']}"
    assert (dataset["state"], dataset["progress"], dataset["classes"]) == ("importing", 0.0, [])
    assert notifications.received(dataset["job"])
    assert client.get(f"/v1/jobs/{dataset['job']}").json()["kind"] == "import"
    assert client.get("/v1/datasets/digits/profile").json()["code"] == "no-result"


def test_a_ready_dataset_shows_classes_and_profile(client: httpx.Client, worker: SimulatedWorker) -> None:
    row = worker.dataset()
    for key in (row.id, row.name):
        dataset = client.get(f"/v1/datasets/{key}").json()
        assert (dataset["state"], dataset["progress"], dataset["hash"]) == ("ready", 1.0, "a" * 64)
        assert dataset["counts"] == {"train": 8, "val": 6, "test": 6}
    assert client.get("/v1/datasets/digits/profile").json()["meta"]["shape"] == [8, 8, 1]
    assert [dataset["name"] for dataset in client.get("/v1/datasets").json()["data"]] == ["digits"]


def test_samples_are_pictures_with_label_and_split(client: httpx.Client, worker: SimulatedWorker) -> None:
    worker.dataset()
    response = client.get("/v1/datasets/digits/samples/13")
    assert response.headers["content-type"] == "image/png"
    assert (response.headers["x-label"], response.headers["x-split"]) == ("3", "val")
    picture = np.asarray(Image.open(io.BytesIO(response.content)))
    assert picture.tolist() == np.arange(13 * 64, 14 * 64).astype(np.uint8).reshape(8, 8).tolist()
    assert client.get("/v1/datasets/digits/samples/20").status_code == 404
    assert client.get("/v1/datasets/digits/samples/-1").status_code == 422


def test_a_taken_name_is_a_conflict(client: httpx.Client) -> None:
    client.post("/v1/datasets", json=DIGITS)
    again = client.post("/v1/datasets", json=DIGITS)
    assert (again.status_code, again.json()["code"]) == (409, "conflict")
    form = client.post("/v1/datasets", data={"name": "digits"}, files={"file": ("x.zip", b"PK")})
    assert form.status_code == 409


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"name": "a b", "source": DIGITS["source"]}, "/name"),
        ({"name": "a"}, "/source"),
        ({"name": "a", "source": {"kind": "url"}}, "/source/kind"),
        ({"name": "a", "source": {"kind": "path", "path": "x", "optoins": {}}}, "/source/optoins"),
        (
            {"name": "a", "source": {"kind": "path", "path": "x", "options": {"split": {"val": 2}}}},
            "/source/options/split/val",
        ),
        (
            {"name": "a", "source": {"kind": "path", "path": "x", "options": {"split": {"val": 0.6, "test": 0.6}}}},
            "/source/options/split/test",
        ),
        ({"name": "a", "source": {"kind": "upload", "filename": "x", "artifact": "jobs/x"}}, "/source/kind"),
    ],
)
def test_faulty_requests_point_at_the_field(client: httpx.Client, body: dict[str, Any], pointer: str) -> None:
    response = client.post("/v1/datasets", json=body)
    assert response.status_code == 422, response.text
    assert [error["pointer"] for error in response.json()["errors"]] == [pointer]


def test_faults_of_a_source_say_what_may_stand_there(client: httpx.Client) -> None:
    nameless = client.post("/v1/datasets", json={"name": "a b", "source": {"path": "x"}}).json()
    assert [error["pointer"] for error in nameless["errors"]] == ["/name", "/source/kind"]
    assert "letters, digits" in nameless["errors"][0]["detail"]
    assert "one of 'builtin', 'torchvision', 'path'" in nameless["errors"][1]["detail"]


def test_a_form_is_streamed_into_the_artifact_store(
    client: httpx.Client, store: Store, notifications: Notifications
) -> None:
    content = bytes(range(256)) * 20_000
    response = client.post(
        "/v1/datasets",
        data={"name": "flowers", "options": '{"drop_corrupt": true}'},
        files={"file": ("dir/flöwers.zip", content)},
    )
    assert response.status_code == 202, response.text
    source = source_of(store, "flowers")
    assert (source.filename, source.options.drop_corrupt) == ("flöwers.zip", True)
    assert b"".join(store.artifacts.read(source.artifact)) == content
    assert notifications.received(response.json()["job"])
    assert list((store.settings.home / "uploads").iterdir()) == []


def test_a_raw_body_can_be_uploaded_too(client: httpx.Client, store: Store) -> None:
    pieces = (b"x" * 100_000 for _ in range(30))
    headers = {"content-type": "application/octet-stream"}
    response = client.put("/v1/datasets/big?filename=big.tar", content=pieces, headers=headers)
    assert response.status_code == 202, response.text
    assert b"".join(store.artifacts.read(source_of(store, "big").artifact)) == b"x" * 3_000_000
    nameless = client.put("/v1/datasets/other", content=b"x", headers=headers)
    assert nameless.json()["errors"][0]["pointer"] == "/filename"
    assert "/v1/datasets/other?filename=data.csv" in nameless.json()["detail"]


@pytest.mark.parametrize("content_type", [None, "application/x-www-form-urlencoded"])
def test_a_raw_body_needs_no_content_type(client: httpx.Client, content_type: str | None) -> None:
    """As `curl -T` and `curl -X PUT --data-binary` send it."""
    headers = {"content-type": content_type} if content_type else {}
    for name, body in (("whole", b"x"), ("pieces", iter([b"x"]))):
        response = client.put(f"/v1/datasets/{name}?filename=a.zip", content=body, headers=headers)
        assert response.status_code == 202, response.text


def test_a_repeated_upload_with_a_key_makes_one_dataset(client: httpx.Client, store: Store) -> None:
    headers = {"Idempotency-Key": "k"}
    for _ in range(2):
        response = client.post("/v1/datasets", data={"name": "a"}, files={"file": ("a.zip", b"PK")}, headers=headers)
        assert response.status_code == 202, response.text
    assert len(uploads(store)) == 1


def test_an_upload_that_is_too_large_leaves_nothing(client: httpx.Client, store: Store) -> None:
    pieces = (b"x" * 2**20 for _ in range(11))
    headers = {"content-type": "application/octet-stream"}
    response = client.put("/v1/datasets/big?filename=big.tar", content=pieces, headers=headers)
    assert (response.status_code, response.json()["code"]) == (413, "too-large")
    folder = store.settings.home / "uploads"
    assert uploads(store) == []
    assert not folder.exists() or list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "content_type"),
    [
        (b"", "multipart/form-data"),
        (b"--x\r\n", "multipart/form-data; boundary=x"),
        (b"no form at all", "multipart/form-data; boundary=x"),
        (
            b'--x\r\nContent-Disposition: form-data; name="name"\r\n\r\na\r\n--x--\r\n',
            "multipart/form-data; boundary=x",
        ),
        (
            b'--x\r\nContent-Disposition: form-data; name="data"; filename="a.zip"\r\n\r\na\r\n--x--\r\n',
            "multipart/form-data; boundary=x",
        ),
        (
            b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.zip"\r\n\r\nabc',
            "multipart/form-data; boundary=x",
        ),
    ],
)
def test_broken_forms_are_refused_and_leave_nothing(
    client: httpx.Client, store: Store, content: bytes, content_type: str
) -> None:
    response = client.post("/v1/datasets", content=content, headers={"content-type": content_type})
    assert response.status_code == 422, response.text
    assert response.headers["content-type"] == "application/problem+json"
    folder = store.settings.home / "uploads"
    assert not folder.exists() or list(folder.iterdir()) == []


def test_a_dataset_in_use_cannot_be_deleted(client: httpx.Client, worker: SimulatedWorker) -> None:
    worker.dataset()
    job = client.post("/v1/jobs", json={"kind": "train", "dataset": "digits"}).json()
    refused = client.delete("/v1/datasets/digits")
    assert (refused.status_code, refused.json()["code"]) == (409, "in-use")
    assert job["id"] in refused.json()["detail"]
    client.post(f"/v1/jobs/{job['id']}/cancel")
    assert client.delete("/v1/datasets/digits").status_code == 204
    assert client.get("/v1/datasets/digits").status_code == 404


def test_a_deleted_dataset_takes_its_upload_along(client: httpx.Client, store: Store) -> None:
    dataset = client.post("/v1/datasets", data={"name": "a"}, files={"file": ("a.zip", b"PK")}).json()
    assert client.delete("/v1/datasets/a").status_code == 409
    client.post(f"/v1/jobs/{dataset['job']}/cancel")
    assert client.delete("/v1/datasets/a").status_code == 204
    assert uploads(store) == []


def test_a_dataset_in_use_names_each_job_whatever_it_does(client: httpx.Client, worker: SimulatedWorker) -> None:
    worker.dataset()
    waiting, running, paused = (
        client.post("/v1/jobs", json={"kind": "train", "dataset": "digits"}).json()["id"] for _ in range(3)
    )
    worker.claim(running)
    with worker.store.begin() as session:
        transitions.request_pause(session, paused)
    detail = client.delete("/v1/datasets/digits").json()["detail"]
    assert all(job_id in detail for job_id in (waiting, running, paused))
    assert client.get("/v1/datasets/digits/samples/0").status_code == 200, "nothing was deleted"


KILLED = """
import os, signal, sys
from pathlib import Path
from service.api.app import create_app
from service.api.routers.datasets import delete_dataset
from service.settings import Settings

services = create_app(Settings(home=Path(sys.argv[1])), notify=lambda ids: True).state.services
delete, left = services.store.artifacts.delete, int(sys.argv[2])

def delete_or_die(key):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return delete(key)

services.store.artifacts.delete = delete_or_die
delete_dataset("doomed", services)
"""


@pytest.mark.parametrize("files_deleted", [0, 1])
def test_a_kill_between_the_row_and_its_files_leaves_files_that_are_collected(
    client: httpx.Client, worker: SimulatedWorker, files_deleted: int
) -> None:
    kept, doomed = worker.dataset("kept"), worker.dataset("doomed")
    command = [sys.executable, "-c", KILLED, str(worker.store.settings.home), str(files_deleted)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert client.get("/v1/datasets/doomed").status_code == 404
    assert len(worker.store.artifacts.keys(f"jobs/{doomed.id}")) == 3 - files_deleted
    assert collect(worker.store, young_seconds=0) == 3 - files_deleted
    assert worker.store.artifacts.keys(f"jobs/{doomed.id}") == []
    assert len(worker.store.artifacts.keys(f"jobs/{kept.id}")) == 3
    assert client.get("/v1/datasets/kept/samples/1").status_code == 200


def test_a_failed_dataset_cannot_be_trained_on(client: httpx.Client) -> None:
    dataset = client.post("/v1/datasets", json={"name": "x", "source": {"kind": "path", "path": "/nothing"}}).json()
    client.post(f"/v1/jobs/{dataset['job']}/cancel")
    assert client.get("/v1/datasets/x").json()["state"] == "failed"
    refused = client.post("/v1/jobs", json={"kind": "train", "dataset": "x"})
    assert refused.json()["errors"][0]["pointer"] == "/dataset"
    assert "import of `x` failed" in refused.json()["detail"]


@pytest.mark.parametrize("name", ["花-2", "Blätter", "цветы.v1"])
def test_names_are_of_any_script_and_found_however_their_letters_are_composed(client: httpx.Client, name: str) -> None:
    composed, apart = (unicodedata.normalize(form, name) for form in ("NFC", "NFD"))
    created = client.post("/v1/datasets", json=DIGITS | {"name": apart})
    assert (created.status_code, created.json()["name"]) == (202, composed), created.text
    assert client.get(f"/v1/datasets/{quote(apart)}").json()["id"] == created.json()["id"]
    assert client.post("/v1/datasets", json=DIGITS | {"name": composed}).status_code == 409
    job = client.post("/v1/jobs", json={"kind": "train", "dataset": apart, "name": f"{name} 🌱"})
    assert (job.status_code, job.json()["name"]) == (202, f"{name} 🌱"), job.text


@pytest.mark.parametrize("name", ["_a", ".a", "a/b", "a\u2028b", "a\u200bb", "🌱", "é" * 101])
def test_names_that_are_no_words_are_refused(client: httpx.Client, name: str) -> None:
    assert client.post("/v1/datasets", json=DIGITS | {"name": name}).status_code == 422
