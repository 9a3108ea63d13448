"""The diagnosis over HTTP, and the job that follows from a finding."""

from typing import Any

import httpx

from tests.service.simulated_worker import HEALTHY, OVERFITTING, SimulatedWorker

LEAST = {"kind": "train", "dataset": "digits", "early_stopping": None}


def submit(client: httpx.Client, worker: SimulatedWorker) -> str:
    worker.dataset(samples=2000)
    response = client.post("/v1/jobs", json=LEAST)
    job_id: str = response.json()["id"]
    return job_id


def diagnosis(client: httpx.Client, job_id: str) -> dict[str, Any]:
    response = client.get(f"/v1/jobs/{job_id}/findings")
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


def test_an_overfitting_run_is_found_out(client: httpx.Client, worker: SimulatedWorker) -> None:
    job_id = submit(client, worker)
    worker.end(worker.record_losses(job_id, OVERFITTING))
    body = diagnosis(client, job_id)
    assert body["verdict"] == "findings"
    finding = body["data"][0]
    assert finding["name"].startswith("overfit")
    assert finding["remedy"]["patch"]
    assert finding["explanation"]


def test_a_fresh_job_has_not_enough_evidence(client: httpx.Client, worker: SimulatedWorker) -> None:
    body = diagnosis(client, submit(client, worker))
    assert (body["verdict"], body["data"]) == ("not enough evidence", [])
    assert body["missing"]


def test_a_remedy_becomes_the_next_job(client: httpx.Client, worker: SimulatedWorker) -> None:
    job_id = submit(client, worker)
    worker.end(worker.record_losses(job_id, OVERFITTING))
    finding = diagnosis(client, job_id)["data"][0]
    path = f"/v1/jobs/{job_id}/findings/{finding['id']}/apply"
    shown = client.post(f"{path}?dry_run=true")
    assert shown.status_code == 200
    made = client.post(path)
    assert made.status_code == 202, made.text
    child = made.json()
    assert (child["parent"], child["relation"]) == (job_id, "follow-up")
    assert child["spec"] == shown.json()["spec"]
    for dotted, value in finding["remedy"]["patch"].items():
        place = child["spec"]
        for part in dotted.split("."):
            place = place[part]
        assert place == value or isinstance(value, dict | list)
    outcome = diagnosis(client, job_id)["data"][0]["outcome"]
    assert (outcome["job"], outcome["state"]) == (child["id"], "queued")
    assert "told when it has ended" in outcome["text"]
    worker.end(worker.record_losses(child["id"], HEALTHY))
    outcome = diagnosis(client, job_id)["data"][0]["outcome"]
    assert outcome["finding_gone"] is True


def test_an_unknown_finding_is_a_404(client: httpx.Client, worker: SimulatedWorker) -> None:
    job_id = submit(client, worker)
    assert client.post(f"/v1/jobs/{job_id}/findings/D1/apply").status_code == 404
