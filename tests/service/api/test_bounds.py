"""What a request costs is bounded by what was sent: the worst bodies of a MiB get short answers."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.api.http import responses
from service.api.middleware import request_guards
from service.jobs import results
from service.resolution.patches import patched_spec
from service.settings import Settings
from tests.service.api.guarded import guarded_server, make_key
from tests.service.api.server import Server
from tests.service.simulated_worker import SimulatedWorker

LEAST: dict[str, Any] = {"kind": "train", "dataset": "digits"}
TUNE: dict[str, Any] = {"kind": "tune", "train": {"dataset": "digits"}}
CHOICES: dict[str, Any] = {"type": "categorical", "choices": ["x" * 200] * 100}


def space(**dimensions: Any) -> dict[str, Any]:
    return TUNE | {"search_space": dimensions}


def train(**fields: Any) -> dict[str, Any]:
    return LEAST | fields


BODIES: dict[str, dict[str, Any]] = {
    "deep layers": space(seed={"type": "layers", "depth": [1, 10**8], "width": [1, 10**8]}),
    "the deepest layers": space(seed={"type": "layers", "depth": [1, 64], "width": [1, 16384]}),
    "choices": space(seed={"type": "categorical", "choices": [[]] * 250_000}),
    "long choices": space(seed={"type": "categorical", "choices": ["x" * 900_000]}),
    "many choices": space(**{f"train.{number}": CHOICES for number in range(49)}),
    "choices for nothing": space(**{f"{number}": CHOICES | {"choices": ["y"] * 10} for number in range(50)}),
    "dimensions": space(**{f"{number}": {} for number in range(70_000)}),
    "a long path": space(**{"x" * 900_000: {"type": "float", "low": 0, "high": 1}}),
    "huge numbers": space(seed={"type": "int", "low": -(10**4000), "high": 10**4000}),
    "labels": train(labels={str(number): 1 for number in range(70_000)}),
    "a long label": train(labels={"x" * 900_000: "y"}),
    "requires": train(requires=["x"] * 200_000),
    "a long requirement": train(requires=["\n" * 400_000]),
    "hidden": train(model={"family": "mlp", "hidden": [0] * 300_000}),
    "rates": train(model={"family": "mlp", "dropout": [2] * 300_000}),
    "channels": train(model={"family": "cnn", "channels": [[]] * 250_000}),
    "class weights": train(loss={"class_weights": [-1] * 250_000}),
    "operations": train(augment=[{"op": "x" * 9000}] * 100),
    "a long operation": train(augment=[{"op": "x" * 900_000}]),
    "an unknown field": train(**{"\U0001f600" * 80_000: 1}),
    "unknown fields": train(**{f"field{number}": 1 for number in range(50_000)}),
    "a long kind": {"kind": "x" * 900_000},
    "a long dataset": train(dataset="x" * 900_000),
    "a long architecture": train(model={"family": "torchvision", "arch": "x" * 900_000}),
    "weights": train(model={"family": "torchvision", "weights": "x" * 900_000}),
    "top k": train(top_k=[0] * 300_000),
    "a long name": train(name="x" * 900_000),
}


@pytest.mark.parametrize("name", BODIES)
def test_the_worst_bodies_get_short_answers(client: httpx.Client, name: str) -> None:
    response = client.post("/v1/jobs", content=json.dumps(BODIES[name], ensure_ascii=False), headers=JSON)
    assert response.status_code == 422, response.text[:300]
    assert len(response.content) < 100_000
    assert len(response.json()["errors"]) <= 100


JSON = {"content-type": "application/json"}


def test_a_search_space_tries_few_values_whatever_was_sent(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    def counted(spec: Any, patch: Any) -> Any:
        tried.append(patch)
        return patched_spec(spec, patch)

    monkeypatch.setattr("service.resolution.validation.patched_spec", counted)
    for name in ("the deepest layers", "many choices", "choices for nothing", "dimensions"):
        client.post("/v1/jobs", json=BODIES[name])
    assert 0 < len(tried) <= 500


@pytest.mark.parametrize("patch", [{"x" * 900_000: 1}, {str(number): 1 for number in range(70_000)}])
def test_the_worst_patches_get_short_answers(client: httpx.Client, patch: dict[str, int]) -> None:
    job = client.post("/v1/jobs", json=LEAST).json()["id"]
    response = client.post(f"/v1/jobs/{job}/clone", json={"patch": patch})
    assert (response.status_code, len(response.content) < 100_000) == (422, True)


@pytest.mark.parametrize(
    ("text", "words"), [("[" * 500, "deep"), ("[" + "1," * 100_000 + "1]", "values"), ("a: &x 1\nb: *x", "alias")]
)
def test_yaml_is_read_as_far_as_a_spec_may_go(client: httpx.Client, text: str, words: str) -> None:
    response = client.post("/v1/jobs", content=text, headers={"content-type": "application/yaml"})
    assert (response.status_code, words in response.text) == (422, True), response.text


def test_the_limit_of_json_holds_for_datasets_too(client: httpx.Client) -> None:
    body = b'{"name": "x", "source": ' + b" " * 2**21
    assert client.post("/v1/datasets", content=body, headers=JSON).status_code == 413
    pieces = (b" " * 2**16 for _ in range(40))
    assert client.post("/v1/datasets", content=pieces, headers=JSON).status_code == 413


@pytest.fixture
def guarded(sqlite_url: str, home: Path) -> Iterator[Server]:
    """A service that asks for keys."""
    with guarded_server(home, sqlite_url) as running:
        yield running


def _answer_to_an_unfinished_body(server: Server, path: str, content_type: str, key: str) -> str:
    """What comes back although the announced body never comes."""
    url = httpx.URL(server.url)
    with socket.create_connection((url.host, url.port or 80), timeout=20) as connection:
        lines = (f"POST {path} HTTP/1.1", f"Host: {url.host}", f"Authorization: Bearer {key}")
        head = "\r\n".join((*lines, f"Content-Type: {content_type}", "Content-Length: 1000", "", "{"))
        connection.sendall(head.encode())
        return connection.recv(4096).decode()


@pytest.mark.parametrize("content_type", ["application/json", "application/yaml", "multipart/form-data; boundary=x"])
@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/datasets", "/v1/keys", "/v1/jobs/x/clone"])
def test_a_wrong_key_is_refused_before_the_body_has_come(guarded: Server, path: str, content_type: str) -> None:
    assert _answer_to_an_unfinished_body(guarded, path, content_type, "tw_00000000_x").startswith("HTTP/1.1 401")


def test_a_key_that_may_not_is_refused_before_the_body_has_come(guarded: Server) -> None:
    keys = {scope: make_key(guarded, f"may {scope}", scope) for scope in ("read", "train")}
    for scope, path in (("read", "/v1/jobs"), ("read", "/v1/datasets"), ("train", "/v1/keys")):
        for content_type in ("application/json", "application/yaml", "multipart/form-data; boundary=x"):
            answer = _answer_to_an_unfinished_body(guarded, path, content_type, keys[scope])
            assert answer.startswith("HTTP/1.1 403"), (scope, path, content_type)


@pytest.mark.parametrize("content_type", ["application/json", "application/yaml"])
def test_a_body_that_does_not_come_is_given_up(
    server: Server, monkeypatch: pytest.MonkeyPatch, content_type: str
) -> None:
    monkeypatch.setattr(request_guards, "BODY_SECONDS", 0.2)
    assert _answer_to_an_unfinished_body(server, "/v1/jobs", content_type, "").startswith("HTTP/1.1 408")


@pytest.fixture
def impatient(sqlite_url: str, home: Path) -> Iterator[Server]:
    """A service that waits for a second for headers."""
    with Server(Settings(home=home, database_url=sqlite_url, header_seconds=1)) as running:
        yield running


def _seconds_to_the_end(server: Server, first: bytes, then: bytes) -> float:
    """After what time the service closes a connection on which bytes come one by one."""
    url, started = httpx.URL(server.url), time.monotonic()
    with socket.create_connection((url.host, url.port or 80), timeout=0.1) as connection:
        connection.sendall(first)
        while time.monotonic() - started < 10:
            with suppress(TimeoutError):
                connection.sendall(then)
                if not connection.recv(2**16):
                    break
    return time.monotonic() - started


@pytest.mark.parametrize("first", [b"", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: "])
def test_headers_that_come_too_slowly_are_not_waited_for(impatient: Server, first: bytes) -> None:
    with suppress(ConnectionError):
        assert 0.9 < _seconds_to_the_end(impatient, first, b"x" if first else b"") < 5
    assert httpx.get(f"{impatient.url}/healthz").status_code == 200


def test_a_second_request_on_a_connection_is_not_waited_for_either(impatient: Server) -> None:
    whole = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with suppress(ConnectionError):
        assert 0.9 < _seconds_to_the_end(impatient, whole + b"GET /healthz HTTP/1.1\r\nX: ", b"x") < 7


def test_headers_without_end_are_cut_off(server: Server) -> None:
    started = time.monotonic()
    with suppress(ConnectionError):
        _seconds_to_the_end(server, b"GET / HTTP/1.1\r\nX: ", b"x" * 2**14)
    assert time.monotonic() - started < 5


def test_a_slow_answer_and_a_slow_body_are_no_slow_headers(impatient: Server) -> None:
    with httpx.Client(base_url=impatient.url, timeout=30) as client:

        def slow_body() -> Iterator[bytes]:
            yield b'{"kind": "train", '
            time.sleep(1.5)
            yield b'"dataset": "digits"}'

        headers = {"content-type": "application/json"}
        job_id = client.post("/v1/jobs", content=slow_body(), headers=headers).json()["id"]
        with client.stream("GET", f"/v1/jobs/{job_id}/events", headers={"accept": "text/event-stream"}) as stream:
            time.sleep(1.5)
            client.delete(f"/v1/jobs/{job_id}")
            assert any("queued" in line for line in stream.iter_lines())


def test_lists_end_before_they_get_too_large(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(responses, "MAX_ANSWER_BYTES", 5000)
    worker = SimulatedWorker(server.store)
    worker.dataset()
    with httpx.Client(base_url=server.url, timeout=30) as client:
        made = [client.post("/v1/jobs", json=LEAST).json()["id"] for _ in range(6)]
        for number in range(6):
            worker.log(made[0], f"{number} " + "x" * 2000)
        assert _pages(client, "/v1/jobs", "cursor", "id") == made[::-1]
        numbers = _pages(client, f"/v1/jobs/{made[0]}/events", "after", "seq")
        assert numbers == list(range(1, len(numbers) + 1))
        lines, after, pages = "", "0", 0
        while (page := client.get(f"/v1/jobs/{made[0]}/logs", params={"after": after})).text:
            lines, after, pages = lines + page.text, page.headers["x-last-event"], pages + 1
            assert len(page.content) < 5000
        assert pages > 2
        assert [line.split()[2] for line in lines.splitlines() if "xxx" in line] == list("012345")


def _pages(client: httpx.Client, path: str, parameter: str, name: str) -> list[Any]:
    """What the items of all pages are called; there is more than one, none over the limit."""
    found: list[Any] = []
    pages, cursor = 0, None
    while pages == 0 or cursor is not None:
        page = client.get(path, params={parameter: cursor} if cursor else {})
        assert len(page.content) < 6000
        found += [item[name] for item in page.json()["data"]]
        pages, cursor = pages + 1, page.json()["next_cursor"]
    assert pages > 1
    return found


def test_many_series_share_what_an_answer_may_hold(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "MAX_POINTS", 100)
    worker = SimulatedWorker(server.store)
    worker.dataset()
    with httpx.Client(base_url=server.url, timeout=30) as client:
        job_id = client.post("/v1/jobs", json=LEAST).json()["id"]
        worker.train(job_id)
        series = client.get(f"/v1/jobs/{job_id}/metrics", params={"max_points": 1_000_000}).json()["series"]
    assert len(series) > 1
    assert sum(len(one["points"]) for one in series) <= max(100, 3 * len(series))
