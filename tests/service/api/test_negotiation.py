"""What clients and the service agree on in headers: media types, and answers that the client has already."""

import httpx
import pytest

from tests.service.api.test_problems import problem
from tests.service.simulated_worker import SimulatedWorker

LEAST = {"kind": "train", "dataset": "digits"}


def test_an_answer_that_the_client_has_is_304_until_it_changes(client: httpx.Client, worker: SimulatedWorker) -> None:
    worker.dataset()
    path = client.post("/v1/jobs", json=LEAST).headers["location"]
    for address in (path, "/v1/jobs", f"{path}/events", f"{path}/curves.svg", "/v1/architectures"):
        got = client.get(address)
        etag = got.headers["etag"]
        assert client.head(address).headers["etag"] == etag
        for known in (etag, f'W/{etag}, "other"', "*"):
            unchanged = client.get(address, headers={"if-none-match": known})
            assert (unchanged.status_code, unchanged.content, unchanged.headers["etag"]) == (304, b"", etag)
            assert "content-type" not in unchanged.headers
        assert client.get(address, headers={"if-none-match": f"{etag[:-2]}"}).content == got.content
    held = {"if-none-match": client.get(path).headers["etag"]}
    assert client.head(path, headers=held).status_code == 304
    client.patch(path, json={"name": "renamed"})
    assert client.get(path, headers=held).json()["name"] == "renamed"


def test_faults_streams_and_what_nobody_may_keep_have_no_tag(client: httpx.Client, worker: SimulatedWorker) -> None:
    worker.dataset()
    job_id = client.post("/v1/jobs", json=LEAST).json()["id"]
    upload = client.post("/v1/uploads", json={"name": "x", "filename": "x.zip", "size": 10}).headers["location"]
    assert "etag" not in client.get("/v1/jobs/none", headers={"if-none-match": "*"}).headers
    assert "etag" not in client.get(upload).headers
    assert client.get(upload, headers={"if-none-match": "*"}).status_code == 200
    assert "etag" not in client.head(f"/v1/jobs/{job_id}/events", headers={"accept": "text/event-stream"}).headers


@pytest.mark.parametrize(
    ("path", "accept", "status"),
    [
        ("/v1/jobs", "application/json", 200),
        ("/v1/jobs", "text/html, application/*;q=0.1", 200),
        ("/v1/jobs", "text/html;q=0.9,*/*;q=0.8", 200),
        ("/v1/jobs", "", 200),
        ("/v1/jobs", "text/html", 406),
        ("/v1/jobs", "application/json;q=0", 406),
        ("/v1/jobs", "application/xml, */*;q=0.0", 406),
        ("/v1/jobs/{job}/curves.svg", "image/*", 200),
        ("/v1/jobs/{job}/curves.svg", "application/json", 406),
        ("/v1/jobs/{job}/logs", "text/plain", 200),
        ("/v1/jobs/{job}/metrics?format=csv", "text/csv", 200),
    ],
)
def test_what_is_not_offered_is_not_acceptable(
    client: httpx.Client, worker: SimulatedWorker, path: str, accept: str, status: int
) -> None:
    worker.dataset()
    job_id = client.post("/v1/jobs", json=LEAST).json()["id"]
    response = client.get(path.format(job=job_id), headers={"accept": accept})
    assert response.status_code == status
    if status == 406:
        assert problem(response, 406)["code"] == "not-acceptable"


def test_a_submission_whose_answer_would_not_be_accepted_stores_nothing(client: httpx.Client) -> None:
    problem(client.post("/v1/jobs", json=LEAST, headers={"accept": "text/html"}), 406)
    assert client.get("/v1/jobs").json()["data"] == []


@pytest.mark.parametrize(
    ("method", "path", "content_type"),
    [
        ("POST", "/v1/jobs", "application/xml"),
        ("POST", "/v1/jobs", "application/octet-stream"),
        ("POST", "/v1/jobs", "multipart/form-data; boundary=x"),
        ("POST", "/v1/datasets", "application/xml"),
        ("POST", "/v1/uploads", "text/csv"),
        ("PATCH", "/v1/jobs/none", "image/png"),
    ],
)
def test_bodies_of_foreign_types_are_415(client: httpx.Client, method: str, path: str, content_type: str) -> None:
    body = problem(client.request(method, path, content=b"{}", headers={"content-type": content_type}), 415)
    assert "application/json" in body["detail"]


def test_json_under_its_other_names_is_read(client: httpx.Client, worker: SimulatedWorker) -> None:
    worker.dataset()
    text = '{"kind": "train", "dataset": "digits"}'
    for content_type in ("application/json; charset=utf-8", "application/vnd.example+json"):
        response = client.post("/v1/jobs?dry_run=true", content=text, headers={"content-type": content_type})
        assert response.status_code == 200
