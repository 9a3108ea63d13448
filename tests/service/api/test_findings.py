"""The diagnosis over HTTP, and the job that follows from a finding."""

from typing import Any

import httpx

from service.events import EpochRecord, StepRecord
from service.jobs import diagnose
from service.store.jobs import Fence
from tests.service.simulated_worker import SimulatedWorker

LEAST = {"kind": "train", "dataset": "digits", "early_stopping": None}


def submit(client: httpx.Client, worker: SimulatedWorker) -> str:
    worker.dataset(samples=2000)
    response = client.post("/v1/jobs", json=LEAST)
    job_id: str = response.json()["id"]
    return job_id


def run(worker: SimulatedWorker, job_id: str, val_losses: list[float]) -> Fence:
    """A training whose clean train loss falls while its val loss goes as given."""
    fence = worker.claim(job_id).fence
    records: list[StepRecord | EpochRecord] = []
    for epoch, loss in enumerate(val_losses, 1):
        train = 2.0 * 0.75**epoch
        records += [
            StepRecord(step=step, epoch=epoch, values={"train/loss": train, "lr/group0": 1e-3})
            for step in range(10 * epoch - 9, 10 * epoch + 1)
        ]
        records.append(
            EpochRecord(
                epoch=epoch,
                step=10 * epoch,
                train={"loss": train, "accuracy": 1 - 0.5 * 0.8**epoch},
                val={"loss": loss, "accuracy": 0.8},
                lr=1e-3,
                seconds=0.1,
                probes={"clean_loss": train, "clean_accuracy": 1 - 0.5 * 0.8**epoch, "val_pipeline_loss": train},
            )
        )
    worker.record(fence, records)
    return fence


OVERFITTING = [1.5, 1.2, 1.0, 0.9, 0.95, 1.05, 1.2, 1.4, 1.6, 1.9, 2.2, 2.5, 2.8]
HEALTHY = [1.6 * 0.8**epoch + 0.05 for epoch in range(13)]


def diagnosis(client: httpx.Client, job_id: str) -> dict[str, Any]:
    response = client.get(f"/v1/jobs/{job_id}/findings")
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


def test_an_overfitting_run_is_found_out(client: httpx.Client, worker: SimulatedWorker) -> None:
    job_id = submit(client, worker)
    worker.end(run(worker, job_id, OVERFITTING))
    body = diagnosis(client, job_id)
    assert body["verdict"] == "findings"
    found = body["data"][0]
    assert found["name"].startswith("overfit")
    assert found["remedy"]["patch"]
    assert found["explanation"]


def test_a_fresh_job_has_not_enough_evidence(client: httpx.Client, worker: SimulatedWorker) -> None:
    body = diagnosis(client, submit(client, worker))
    assert (body["verdict"], body["data"]) == ("not enough evidence", [])
    assert body["missing"]


def test_a_remedy_becomes_the_next_job(client: httpx.Client, worker: SimulatedWorker) -> None:
    job_id = submit(client, worker)
    worker.end(run(worker, job_id, OVERFITTING))
    found = diagnosis(client, job_id)["data"][0]
    path = f"/v1/jobs/{job_id}/findings/{found['id']}/apply"
    shown = client.post(f"{path}?dry_run=true")
    assert shown.status_code == 200
    made = client.post(path)
    assert made.status_code == 202, made.text
    child = made.json()
    assert (child["parent"], child["relation"]) == (job_id, "follow-up")
    assert child["spec"] == shown.json()["spec"]
    for dotted, value in found["remedy"]["patch"].items():
        place = child["spec"]
        for part in dotted.split("."):
            place = place[part]
        assert place == value or isinstance(value, dict | list)
    outcome = diagnosis(client, job_id)["data"][0]["outcome"]
    assert (outcome["job"], outcome["state"]) == (child["id"], "queued")
    assert "told when it has ended" in outcome["text"]
    worker.end(run(worker, child["id"], HEALTHY))
    outcome = diagnosis(client, job_id)["data"][0]["outcome"]
    assert outcome["finding_gone"] is True


def test_findings_are_told_once_and_withdrawn(client: httpx.Client, worker: SimulatedWorker) -> None:
    job_id = submit(client, worker)
    worker.end(run(worker, job_id, OVERFITTING))
    with worker.store.begin() as session:
        record = diagnose.report(session, job_id).data
        assert len(diagnose.update(session, job_id, record)) == len(record)
        assert diagnose.update(session, job_id, record) == []
        assert diagnose.update(session, job_id, []) == []
    events = client.get(f"/v1/jobs/{job_id}/events").json()["data"]
    told = [event["data"]["change"] for event in events if event["type"] == "finding"]
    assert told == ["found"] * len(record) + ["withdrawn"] * len(record)
    history = diagnosis(client, job_id)["data"][0]["history"]
    assert [entry["change"] for entry in history] == ["found", "withdrawn"]


def test_an_unknown_finding_is_a_404(client: httpx.Client, worker: SimulatedWorker) -> None:
    job_id = submit(client, worker)
    assert client.post(f"/v1/jobs/{job_id}/findings/D1/apply").status_code == 404
