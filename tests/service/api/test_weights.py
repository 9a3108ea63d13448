"""Start weights over HTTP: uploaded, used by jobs, deleted when none needs them."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from service.store.session import Store
from service.upkeep.collector import collect
from tests.service.models.weight_files import safetensors, squeezenet
from tests.service.simulated_worker import SimulatedWorker

FILE = safetensors(squeezenet())


def upload(client: httpx.Client, name: str = "mine", data: bytes = FILE) -> httpx.Response:
    return client.post("/v1/weights", data={"name": name}, files={"file": ("w.safetensors", data)})


def submit(client: httpx.Client, weights: Any, arch: str = "squeezenet1_1") -> httpx.Response:
    model = {"family": "torchvision", "arch": arch, "weights": weights}
    return client.post("/v1/jobs", json={"kind": "train", "dataset": "digits", "model": model})


def test_weights_are_uploaded_listed_and_deleted(client: httpx.Client, store: Store) -> None:
    made = upload(client)
    assert made.status_code == 201, made.text
    row = made.json()
    assert made.headers["location"] == f"/v1/weights/{row['id']}"
    assert (row["name"], row["size"], row["fits"]) == ("mine", len(FILE), ["squeezenet1_1"])
    assert [client.get(f"/v1/weights/{key}").json() for key in ("mine", row["id"])] == [row, row]
    assert client.get("/v1/weights").json()["data"] == [row]
    assert upload(client).json()["code"] == "conflict"
    assert (collect(store, 0), len(store.artifacts.keys("weights"))) == (0, 1)
    assert client.delete("/v1/weights/mine").status_code == 204
    assert client.get("/v1/weights/mine").status_code == 404
    assert store.artifacts.keys("weights") == []


@pytest.mark.parametrize(("name", "data", "pointer"), [("a/b", FILE, "/name"), ("mine", b"a picture", "/file")])
def test_faulty_uploads_leave_nothing(client: httpx.Client, store: Store, name: str, data: bytes, pointer: str) -> None:
    refused = upload(client, name, data)
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, pointer)
    assert store.artifacts.keys("weights") == []
    assert list((store.settings.home / "uploads").glob("*")) == []


def test_weights_stay_while_a_job_needs_them(client: httpx.Client, worker: SimulatedWorker) -> None:
    worker.dataset()
    upload(client)
    train = {"dataset": "digits", "model": {"family": "torchvision", "weights": {"upload": "mine"}}}
    train["model"] |= {"arch": "squeezenet1_1"}  # type: ignore[operator]
    space = {"optimizer.lr": {"type": "float", "low": 1e-4, "high": 1e-2, "log": True}}
    search = client.post("/v1/jobs", json={"kind": "tune", "train": train, "search_space": space})
    for answer in (submit(client, {"upload": "mine"}), search):
        assert answer.status_code == 202, answer.text
        refused = client.delete("/v1/weights/mine")
        assert (refused.status_code, answer.json()["id"] in refused.json()["detail"]) == (409, True)
    for job in client.get("/v1/jobs").json()["data"]:
        client.post(f"/v1/jobs/{job['id']}/cancel")
    assert client.delete("/v1/weights/mine").status_code == 204


def test_start_weights_are_checked_at_submission(client: httpx.Client, worker: SimulatedWorker, tmp_path: Path) -> None:
    worker.dataset()
    upload(client)
    cases: list[tuple[Any, str, str, str]] = [
        ({"upload": "mime"}, "squeezenet1_1", "upload", "did you mean `mine`?"),
        ({"upload": "mine"}, "resnet18", "upload", "these weights fit `squeezenet1_1`"),
        ({"path": str(tmp_path / "none")}, "resnet18", "path", "not under a data root"),
    ]
    job = client.post("/v1/jobs", json={"kind": "train", "dataset": "digits", "model": {"family": "cnn"}}).json()
    cases.append(({"from_job": job["id"]}, "resnet18", "from_job", "these weights fit `cnn`"))
    for weights, arch, field, words in cases:
        refused = submit(client, weights, arch)
        assert refused.status_code == 422, weights
        fault = refused.json()["errors"][0]
        assert (fault["pointer"], words in fault["detail"]) == (f"/model/weights/{field}", True), fault
