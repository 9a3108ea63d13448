"""Every fault is a problem document that points at what is wrong."""

from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import create_engine, make_url, text

from service.settings import Settings
from tests.service.api.conftest import client_of
from tests.service.api.server import Server
from tests.service.simulated_worker import SimulatedWorker

LEAST = {"kind": "train", "dataset": "digits"}


def problem(response: httpx.Response, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert body["status"] == status
    assert body["request_id"] == response.headers["x-request-id"]
    assert {"type", "title", "detail", "code", "errors"} <= set(body)
    return body


@pytest.mark.parametrize(
    ("spec", "pointer", "words"),
    [
        ({"optimiser": {}}, "/optimiser", "did you mean `optimizer`?"),
        ({"model": {"family": "mlp", "hiden": [1]}}, "/model/hiden", "did you mean `hidden`?"),
        ({"model": {"family": "mpl"}}, "/model/family", "did you mean `mlp`?"),
        ({"model": {"family": "mlp", "hidden": [8, 0]}}, "/model/hidden/1", "greater than or equal to 1"),
        ({"model": {"hidden": [8]}}, "/model/family", "required: one of 'mlp', 'cnn', 'torchvision'"),
        ({"augment": [{"p": 0.5}]}, "/augment/0/op", "'horizontal_flip', 'vertical_flip'"),
        ({"batch_size": []}, "/batch_size", 'like {"from_job": "<id>"}'),
        ({"optimizer": {"lr": "fast"}}, "/optimizer/lr", "valid number"),
        ({"optimizer": {"lr": {"from": "x"}}}, "/optimizer/lr/from", "did you mean `from_job`?"),
        ({"optimizer": {"lr": -1}}, "/optimizer/lr", "greater than 0"),
        ({"augment": "standrd"}, "/augment", "did you mean `standard`?"),
        ({"augment": [{"op": "rotate"}]}, "/augment/0/op", "did you mean `rotation`?"),
        ({"augment": [{"op": "rotation", "degrees": 999}]}, "/augment/0/degrees", "180"),
        ({"augment": [{"op": "resized_crop", "scale": [0.9, 0.1]}]}, "/augment/0/scale", "above the second"),
        ({"epochs": 0}, "/epochs", "greater than or equal to 1"),
        ({"batch_size": "automatic"}, "/batch_size", "auto"),
        ({"schedule": {"name": "cosine", "warmup": 2}}, "/schedule/warmup", "0.5"),
        ({"dataset": None}, "/dataset", "string"),
        ({"kind": "trian"}, "/kind", "did you mean `train`?"),
        ({"kind": "lr-find", "lr_min": 2.0}, "", "lr_min must be below lr_max"),
        ({"dataset": "digts"}, "/dataset", "did you mean `digits`?"),
        ({"labels": {"a/b": 3}}, "/labels/a~1b", "string"),
    ],
)
def test_pointers_lead_to_the_field_without_the_names_of_unions(
    client: httpx.Client, spec: dict[str, Any], pointer: str, words: str
) -> None:
    body = problem(client.post("/v1/jobs", json=LEAST | spec), 422)
    assert body["code"] == "invalid-spec"
    assert [error["pointer"] for error in body["errors"]] == [pointer], body
    assert words in body["errors"][0]["detail"]


def test_pointers_into_a_tune_spec(client: httpx.Client) -> None:
    spec = {"kind": "tune", "train": {"dataset": "digits", "epoch": 3}, "search_space": {"seed": {"type": "flaot"}}}
    body = problem(client.post("/v1/jobs", json=spec), 422)
    assert [error["pointer"] for error in body["errors"]] == ["/train/epoch", "/search_space/seed/type"]


def test_a_missing_field_is_named(client: httpx.Client) -> None:
    body = problem(client.post("/v1/jobs", json={"kind": "train"}), 422)
    assert body["errors"] == [{"pointer": "/dataset", "detail": "Field required"}]


def test_a_missing_kind_is_told_with_what_it_may_be(client: httpx.Client) -> None:
    body = problem(client.post("/v1/jobs", json={"dataset": "digits"}), 422)
    assert [error["pointer"] for error in body["errors"]] == ["/kind"]
    assert "one of 'train', 'lr-find'" in body["errors"][0]["detail"]


@pytest.mark.parametrize("content", ["{", "", "[1, 2", "nul", '{"a": 1}}', "[" * 100_000, b"\xff\xfe"])
def test_malformed_json_is_a_422(client: httpx.Client, content: str | bytes) -> None:
    response = client.post("/v1/jobs", content=content, headers={"content-type": "application/json"})
    body = problem(response, 422)
    assert body["errors"][0]["pointer"] == ""


@pytest.mark.parametrize(
    "content", ["a: [", "a: &x 1\nb: *x", "- " * 40_000, "!!python/object:os.system {}", "a: \x00"]
)
def test_malformed_yaml_is_a_422(client: httpx.Client, content: str) -> None:
    problem(client.post("/v1/jobs", content=content, headers={"content-type": "application/yaml"}), 422)


def test_unknown_paths_and_methods(client: httpx.Client) -> None:
    assert problem(client.get("/v1/nothing"), 404)["code"] == "not-found"
    assert problem(client.get("/assets/nothing.js"), 404)["code"] == "not-found"
    refused = client.put("/v1/jobs", json={})
    assert problem(refused, 405)["code"] == "method-not-allowed"
    assert refused.headers["allow"] == "GET, HEAD, OPTIONS, POST"


@pytest.mark.parametrize(
    "path",
    ["/v1/jobs", "/v1/jobs/{job}", "/v1/jobs/{job}/events", "/healthz", "/metrics", "/docs", "/", "/openapi.json"],
)
def test_head_answers_as_get_without_a_body(client: httpx.Client, path: str, worker: SimulatedWorker) -> None:
    worker.dataset()
    path = path.format(job=client.post("/v1/jobs", json=LEAST).json()["id"])
    got, head = client.get(path), client.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert {name: head.headers.get(name) for name in ("content-type", "x-content-type-options")} == {
        name: got.headers.get(name) for name in ("content-type", "x-content-type-options")
    }
    if path != "/metrics":  # which counts its own requests
        assert head.headers["content-length"] == got.headers["content-length"]


def test_head_of_a_live_stream_ends_at_once(client: httpx.Client, worker: SimulatedWorker) -> None:
    worker.dataset()
    path = f"/v1/jobs/{client.post('/v1/jobs', json=LEAST).json()['id']}/events"
    head = client.head(path, headers={"accept": "text/event-stream"})
    assert (head.status_code, head.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    assert problem_of_head(client, "/v1/jobs/none/events") == (404, "application/problem+json")


def problem_of_head(client: httpx.Client, path: str) -> tuple[int, str]:
    response = client.head(path)
    return response.status_code, response.headers["content-type"]


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/v1/jobs", "GET, HEAD, OPTIONS, POST"),
        ("/v1/jobs/018f", "DELETE, GET, HEAD, OPTIONS, PATCH"),
        ("/v1/jobs/018f/cancel", "OPTIONS, POST"),
        ("/healthz", "GET, HEAD, OPTIONS"),
    ],
)
def test_options_name_what_is_allowed(client: httpx.Client, path: str, allowed: str) -> None:
    response = client.options(path)
    assert (response.status_code, response.headers["allow"], response.content) == (204, allowed, b"")
    assert client.options("/v1/nothing").status_code == 404


@pytest.mark.parametrize(
    "path",
    ["", "/events", "/metrics", "/curves", "/curves.svg", "/confusion", "/report", "/checkpoints", "/logs", "/bundle"],
)
def test_unknown_jobs_are_404(client: httpx.Client, path: str) -> None:
    assert "018f" in problem(client.get(f"/v1/jobs/018f{path}"), 404)["detail"]


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("limit=0", "/query/limit"),
        ("limit=x", "/query/limit"),
        ("state=done", "/query/state/0"),
        ("kind=trian", "/query/kind/0"),
        ("cursor=abc", "/query/cursor"),
        ("stat=queued", "/query/stat"),
        ("limit=1&limit=2", "/query/limit"),
    ],
)
def test_query_parameters_are_named(client: httpx.Client, query: str, pointer: str) -> None:
    assert problem(client.get(f"/v1/jobs?{query}"), 422)["errors"][0]["pointer"] == pointer


def test_a_dry_run_that_is_mistyped_starts_nothing(client: httpx.Client) -> None:
    body = problem(client.post("/v1/jobs?dryrun=true", json=LEAST), 422)
    assert "did you mean `dry_run`?" in body["errors"][0]["detail"]
    assert client.get("/v1/jobs").json()["data"] == []


def test_all_unknown_fields_are_told_at_once_with_what_they_mean_here(client: httpx.Client) -> None:
    spec = LEAST | {"learning_rate": 1, "bs": 3, "dropout": 0.5, "epochs": 0, "optimizer": {"wd": 1}}
    errors = {error["pointer"]: error["detail"] for error in problem(client.post("/v1/jobs", json=spec), 422)["errors"]}
    assert list(errors) == ["/learning_rate", "/bs", "/dropout", "/optimizer/wd", "/epochs"]
    for pointer, path in (
        ("/learning_rate", "optimizer.lr"),
        ("/bs", "batch_size"),
        ("/dropout", "model.dropout"),
        ("/optimizer/wd", "weight_decay"),
    ):
        assert f"did you mean `{path}`?" in errors[pointer]


@pytest.mark.parametrize(
    ("fields", "pointer", "words"),
    [
        ({"loss": "mse"}, "/loss", "cross entropy on logits"),
        ({"loss": {"name": "mse"}}, "/loss/name", "cross entropy on logits"),
        ({"output_activation": "softmax"}, "/output_activation", "rule D4"),
        ({"eval_mode": True}, "/eval_mode", "in eval mode"),
        ({"zero_grad": False}, "/zero_grad", "cleared before every step"),
        ({"val_augment": "light"}, "/val_augment", "rule D3"),
        ({"dtype": "float64"}, "/dtype", "float32"),
        ({"seed": None}, "/seed", "cannot be repeated"),
        ({"early_stopping": {"metric": "val/accuracy", "mode": "min"}}, "/early_stopping", "when it is larger"),
        ({"name": "a\0b"}, "/name", "NUL"),
        ({"labels": {"a\0": "b"}}, "/labels", "NUL"),
    ],
)
def test_common_errors_are_taught_where_they_are_tried(
    client: httpx.Client, fields: dict[str, Any], pointer: str, words: str
) -> None:
    [error] = problem(client.post("/v1/jobs", json=LEAST | fields), 422)["errors"]
    assert error["pointer"] == pointer
    assert words in error["detail"]


@pytest.mark.parametrize(
    ("content_type", "text"),
    [
        ("application/json", '{"kind": "train", "dataset": "digits", "epochs": 1, "epochs": 2}'),
        ("application/json", '{"kind": "train", "dataset": "digits", "optimizer": {"lr": 1, "lr": 2}}'),
        ("application/yaml", "kind: train\ndataset: digits\nepochs: 1\nepochs: 2\n"),
    ],
)
def test_a_key_that_is_given_twice_is_refused(client: httpx.Client, content_type: str, text: str) -> None:
    answer = client.post("/v1/jobs", content=text, headers={"content-type": content_type})
    assert answer.status_code == 422
    assert "is given twice" in answer.json()["detail"]


def test_every_optional_part_is_switched_off_by_null(client: httpx.Client) -> None:
    parts = ("schedule", "checkpoint", "limits", "loss", "preprocess", "augment", "early_stopping", "gradients", "ema")
    spec = client.post("/v1/jobs?dry_run=true", json=LEAST | dict.fromkeys((*parts, "clip_norm"))).json()["spec"]
    assert spec["schedule"]["name"] == "constant"
    assert spec["preprocess"]["normalize"] == "none"
    assert [spec[name] for name in ("early_stopping", "gradients", "ema", "clip_norm")] == [None] * 4


def test_large_bodies_are_413(client: httpx.Client) -> None:
    headers = {"content-type": "application/json"}
    problem(client.post("/v1/jobs", content=b" " * (2**20 + 1), headers=headers), 413)
    pieces = (b" " * 2**16 for _ in range(40))
    problem(client.post("/v1/jobs", content=pieces, headers=headers), 413)
    yaml = {"content-type": "application/yaml"}
    problem(client.post("/v1/jobs", content=b"a: " + b"b" * 300_000, headers=yaml), 413)


def test_what_is_unexpected_is_a_500_without_details(server_to_break: Server) -> None:
    with client_of(server_to_break) as client:
        with server_to_break.store.begin() as session:
            session.connection().exec_driver_sql("ALTER TABLE api_keys RENAME TO lost")
        response = client.get("/v1/keys", headers={"x-request-id": "abc-1"})
        kept = client.get("/healthz")
        with server_to_break.store.begin() as session:
            session.connection().exec_driver_sql("ALTER TABLE lost RENAME TO api_keys")
    body = problem(response, 500)
    assert body["request_id"] == "abc-1"
    assert "api_keys" not in response.text
    assert response.headers["x-content-type-options"] == "nosniff"
    # A pooled client goes on with the same connection.
    assert kept.extensions["network_stream"] is response.extensions["network_stream"]


ODD_NUMBERS = ("²", "-1", "1e3", "9" * 30, "9" * 5000, "")


@pytest.mark.parametrize("number", ODD_NUMBERS)
def test_odd_numbers_in_headers_are_the_clients_fault(client: httpx.Client, number: str) -> None:
    sent = number.encode("latin-1")
    job = client.post("/v1/jobs", json=LEAST).json()["id"]
    stream = [(b"accept", b"text/event-stream"), (b"last-event-id", sent)]
    problem(client.get(f"/v1/jobs/{job}/events", headers=stream), 422)
    upload = client.post("/v1/uploads", json={"name": "x", "filename": "x.zip", "size": 10}).headers["location"]
    piece = [(b"content-type", b"application/offset+octet-stream"), (b"upload-offset", sent)]
    problem(client.patch(upload, content=b"x", headers=piece), 422)


@pytest.mark.parametrize("number", ODD_NUMBERS)
def test_odd_indices_in_the_path_of_a_patch_lead_nowhere(client: httpx.Client, number: str) -> None:
    job = client.post("/v1/jobs", json=LEAST).json()["id"]
    problem(client.post(f"/v1/jobs/{job}/clone", json={"patch": {f"model.hidden.{number}": 8}}), 422)


def test_a_database_that_takes_no_connection_is_a_503(postgres_url: str, home: Path) -> None:
    database, address = make_url(postgres_url).database, make_url(postgres_url).set(database="postgres")
    admin = create_engine(address, isolation_level="AUTOCOMMIT")
    server = Server(Settings(home=home, database_url=postgres_url))
    server.store.engine.dispose()
    with admin.connect() as connection:
        connection.execute(text(f'ALTER DATABASE "{database}" ALLOW_CONNECTIONS false'))
        try:
            with server:
                response = httpx.post(f"{server.url}/v1/jobs", json=LEAST, timeout=60)
        finally:
            connection.execute(text(f'ALTER DATABASE "{database}" ALLOW_CONNECTIONS true'))
    admin.dispose()
    assert problem(response, 503)["code"] == "unavailable"
    assert response.headers["retry-after"] == "10"
