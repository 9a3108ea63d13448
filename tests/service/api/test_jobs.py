"""Submitting, listing, changing and steering jobs."""

from typing import Any

import httpx
import pytest

from service.api.http.examples import EXAMPLES
from service.states import JobState
from tests.service.api.notifications import Notifications
from tests.service.simulated_worker import SimulatedWorker

LEAST = {"kind": "train", "dataset": "digits"}


def submit(client: httpx.Client, **spec: Any) -> dict[str, Any]:
    response = client.post("/v1/jobs", json=LEAST | spec)
    assert response.status_code == 202, response.text
    job: dict[str, Any] = response.json()
    assert response.headers["location"] == f"/v1/jobs/{job['id']}"
    return job


def test_a_submitted_job_is_stored_resolved_and_notified(
    client: httpx.Client, worker: SimulatedWorker, notifications: Notifications
) -> None:
    dataset = worker.dataset()
    job = submit(client)
    assert job["state"] == "queued"
    assert job["dataset"] == dataset.id
    assert job["spec"]["optimizer"]["lr"] == 1e-3
    assert job["queue"] == {"position": 1, "reason": "waits for a worker: none is running"}
    assert notifications.received(job["id"])
    assert client.get(f"/v1/jobs/{job['id']}").json() == {k: v for k, v in job.items() if k != "warnings"}


def test_a_builtin_dataset_is_imported_on_first_use(
    client: httpx.Client, worker: SimulatedWorker, notifications: Notifications
) -> None:
    job = submit(client)
    dataset = client.get("/v1/datasets/digits").json()
    assert dataset["state"] == "importing"
    assert job["queue"]["reason"].startswith("waits for the import job")
    assert notifications.received(dataset["job"], job["id"])
    worker.import_dataset(dataset["id"], dataset["job"])
    assert worker.claim(job["id"]).dataset_id == dataset["id"]


@pytest.mark.parametrize("kind", ["train", "train-least", "lr-find", "sanity", "batch-size", "tune"])
def test_the_documented_examples_are_accepted(client: httpx.Client, worker: SimulatedWorker, kind: str) -> None:
    worker.dataset()
    response = client.post("/v1/jobs", json=EXAMPLES[kind]["value"])
    assert response.status_code == 202, response.text


def test_yaml_is_welcome(client: httpx.Client) -> None:
    text = "kind: train\ndataset: digits\noptimizer: {lr: 1e-2}\n"
    response = client.post("/v1/jobs", content=text, headers={"content-type": "application/yaml"})
    assert response.status_code == 202, response.text
    assert response.json()["spec"]["optimizer"]["lr"] == 0.01


def test_a_dry_run_stores_nothing(client: httpx.Client, worker: SimulatedWorker) -> None:
    worker.dataset()
    response = client.post("/v1/jobs?dry_run=true", json=LEAST | {"shuffle": False, "epochs": 3})
    assert response.status_code == 200
    answer = response.json()
    assert [advice["code"] for advice in answer["warnings"]] == ["no-shuffle"]
    assert answer["estimates"]["parameters"]["total"] > 0
    assert client.get("/v1/jobs").json() == {"data": [], "next_cursor": None}


def test_warnings_come_with_the_job_and_as_log_lines(client: httpx.Client, worker: SimulatedWorker) -> None:
    worker.dataset(samples=500)
    job = submit(client, shuffle=False)
    assert [advice["pointer"] for advice in job["warnings"]] == ["/shuffle"]
    assert "/shuffle" in client.get(f"/v1/jobs/{job['id']}/logs?level=warning").text


def test_an_idempotency_key_replays_the_first_answer(client: httpx.Client) -> None:
    headers = {"Idempotency-Key": "one"}
    first = client.post("/v1/jobs", json=LEAST, headers=headers)
    again = client.post("/v1/jobs", json=LEAST, headers=headers)
    assert again.json() == first.json()
    assert (again.status_code, again.headers["location"]) == (202, first.headers["location"])
    assert (first.headers.get("idempotency-replayed"), again.headers["idempotency-replayed"]) == (None, "true")
    assert len(client.get("/v1/jobs").json()["data"]) == 1
    other = client.post("/v1/jobs", json=LEAST | {"seed": 1}, headers=headers)
    assert other.status_code == 422
    assert other.json()["code"] == "invalid-request"


def test_lists_are_filtered_and_paged(client: httpx.Client, worker: SimulatedWorker) -> None:
    dataset = worker.dataset()
    ids = [submit(client, name=f"job {n}", labels={"team": "a" if n % 2 else "b"})["id"] for n in range(5)]
    first = client.get("/v1/jobs?limit=2").json()
    second = client.get("/v1/jobs", params={"limit": 2, "cursor": first["next_cursor"]}).json()
    third = client.get("/v1/jobs", params={"limit": 2, "cursor": second["next_cursor"]}).json()
    listed = [job["id"] for page in (first, second, third) for job in page["data"]]
    assert listed == ids[::-1]
    assert third["next_cursor"] is None
    assert [job["queue"]["position"] for job in first["data"]] == [5, 4]
    assert len(client.get("/v1/jobs?label=team=a").json()["data"]) == 2
    assert len(client.get(f"/v1/jobs?dataset={dataset.name}&state=queued&kind=train").json()["data"]) == 5
    assert [job["kind"] for job in client.get("/v1/jobs?kind=import").json()["data"]] == ["import"]


def test_a_job_can_be_renamed_and_deleted(client: httpx.Client) -> None:
    job = submit(client)
    path = f"/v1/jobs/{job['id']}"
    changed = client.patch(path, json={"labels": {"a": "b"}, "priority": 5}).json()
    assert (changed["labels"], changed["priority"], changed["name"]) == ({"a": "b"}, 5, None)
    assert client.delete(path).status_code == 204
    assert client.get(path).status_code == 404


def test_a_running_job_cannot_be_deleted(client: httpx.Client, worker: SimulatedWorker) -> None:
    worker.dataset()
    job = submit(client)
    worker.claim(job["id"])
    response = client.delete(f"/v1/jobs/{job['id']}")
    assert response.status_code == 409
    assert "running" in response.json()["detail"]


def test_cancel_pause_and_resume_follow_the_states(
    client: httpx.Client, worker: SimulatedWorker, notifications: Notifications
) -> None:
    worker.dataset()
    job = submit(client)
    path = f"/v1/jobs/{job['id']}"
    assert client.post(f"{path}/pause").json()["state"] == "paused"
    assert client.post(f"{path}/pause").status_code == 409
    assert client.post(f"{path}/resume").json()["state"] == "queued"
    assert notifications.received(job["id"], job["id"])
    worker.claim(job["id"])
    assert client.post(f"{path}/cancel").json()["state"] == "cancelling"
    other = submit(client)
    assert client.post(f"/v1/jobs/{other['id']}/cancel").json()["state"] == "cancelled"
    refused = client.post(f"/v1/jobs/{other['id']}/resume")
    assert (refused.status_code, refused.json()["code"]) == (409, "wrong-state")
    assert "cancelled" in refused.json()["detail"]


def test_resume_takes_other_limits_and_the_job_shows_them(client: httpx.Client, worker: SimulatedWorker) -> None:
    worker.dataset()
    job = submit(client, limits={"seconds": 60})
    path = f"/v1/jobs/{job['id']}"
    client.post(f"{path}/pause")
    assert client.post(f"{path}/resume", json={"limits": {"seconds": 0}}).status_code == 422
    resumed = client.post(f"{path}/resume", json={"limits": {"stall_seconds": 30}}).json()
    assert resumed["limits"] == {"seconds": 60, "stall_seconds": 30, "trial_seconds": None}
    assert resumed["spec"]["limits"] == {"seconds": 60, "stall_seconds": None, "trial_seconds": None}
    assert (resumed["running_seconds"], resumed["stop_reason"]) == (0, None)


def test_retry_and_clone_make_linked_jobs(client: httpx.Client, worker: SimulatedWorker) -> None:
    worker.dataset()
    job = submit(client, epochs=7)
    path = f"/v1/jobs/{job['id']}"
    assert client.post(f"{path}/retry").status_code == 409
    worker.end(worker.claim(job["id"]).fence, JobState.FAILED)
    retried = client.post(f"{path}/retry").json()
    assert (retried["parent"], retried["relation"], retried["spec"]["epochs"]) == (job["id"], "follow-up", 7)
    cloned = client.post(f"{path}/clone", json={"patch": {"optimizer.lr": 0.5}}).json()
    assert (cloned["relation"], cloned["spec"]["optimizer"]["lr"]) == ("follow-up", 0.5)
    assert job["relation"] is None
    assert [child["id"] for child in client.get(f"/v1/jobs?parent={job['id']}").json()["data"]] == [
        cloned["id"],
        retried["id"],
    ]


@pytest.mark.parametrize(
    ("patch", "pointer", "words"),
    [
        ({"epochs": 0}, "/patch/epochs", "greater than"),
        ({"optimizer.lrr": 1}, "/patch/optimizer.lrr", "did you mean `optimizer.lr`?"),
        ({"model.dropout": [0.1]}, "/patch/model.dropout", "1 rates for 2 hidden layers"),
        ({"optimizer.lr.from_job": "gone"}, "/patch/optimizer.lr.from_job", "no field"),
        ({"optimizer.lr": {"from_job": "gone"}}, "/patch/optimizer.lr/from_job", "there is no job gone"),
        ({"model.hidden": [8]}, "/patch", "/model/dropout: 2 rates for 1 hidden layers"),
    ],
)
def test_a_clone_is_refused_with_pointers_into_its_patch(
    client: httpx.Client, worker: SimulatedWorker, patch: dict[str, Any], pointer: str, words: str
) -> None:
    worker.dataset()
    job = submit(client, model={"family": "mlp", "dropout": [0.1, 0.2]})
    refused = client.post(f"/v1/jobs/{job['id']}/clone", json={"patch": patch})
    assert refused.status_code == 422
    assert [error["pointer"] for error in refused.json()["errors"]] == [pointer]
    assert words in refused.json()["errors"][0]["detail"]


def test_a_full_queue_answers_429(client: httpx.Client, worker: SimulatedWorker) -> None:
    worker.dataset()
    for _ in range(12):
        submit(client)
    response = client.post("/v1/jobs", json=LEAST)
    assert response.status_code == 429
    assert response.headers["retry-after"] == "10"
