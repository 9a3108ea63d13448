"""Keys and scopes, hosts and origins, declared content, and where the service refuses to start."""

import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from service.access import keys
from service.api.app import create_app
from service.api.auth import check_admin_key, check_exposure
from service.errors import SchemaError
from service.settings import Settings
from tests.service.api.conftest import client_of
from tests.service.api.guarded import ADMIN_KEY, guarded_server
from tests.service.api.server import Server

LEAST = {"kind": "train", "dataset": "digits"}


@pytest.fixture
def guarded(sqlite_url: str, home: Path) -> Iterator[Server]:
    """A service that asks for keys."""
    with guarded_server(home, sqlite_url) as running:
        yield running


def call(server: Server, method: str, path: str, key: str | None = None, json: object = None) -> httpx.Response:
    headers = {"authorization": f"Bearer {key}"} if key else {}
    return httpx.request(method, server.url + path, headers=headers, timeout=30, json=json)


def test_without_a_key_nothing_is_told(guarded: Server) -> None:
    refused = call(guarded, "GET", "/v1/jobs")
    assert (refused.status_code, refused.json()["code"]) == (401, "unauthorized")
    assert refused.headers["www-authenticate"].startswith("Bearer")
    for key in ("nonsense", "tw_", "tw_12345678_x", "Bearer"):
        assert call(guarded, "GET", "/v1/jobs", key).status_code == 401
    for open_path in ("/", "/docs", "/openapi.json", "/healthz", "/readyz"):
        assert call(guarded, "GET", open_path).status_code == 200, open_path


def test_each_scope_reaches_what_it_names(guarded: Server) -> None:
    made = {
        scope: call(guarded, "POST", "/v1/keys", ADMIN_KEY, json={"name": f"{scope} key", "scope": scope}).json()["key"]
        for scope in keys.SCOPES
    }
    assert call(guarded, "GET", "/v1/jobs", made["read"]).status_code == 200
    refused = call(guarded, "POST", "/v1/jobs", made["read"], json=LEAST)
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    assert call(guarded, "POST", "/v1/jobs", made["train"], json=LEAST).status_code == 202
    assert call(guarded, "GET", "/v1/keys", made["train"]).status_code == 403
    listed = call(guarded, "GET", "/v1/keys", made["admin"])
    assert {key["scope"] for key in listed.json()["data"]} == set(keys.SCOPES)
    assert made["admin"] not in listed.text


def test_a_key_may_not_be_named_like_an_id(guarded: Server) -> None:
    refused = call(guarded, "POST", "/v1/keys", ADMIN_KEY, json={"name": "deadbeef", "scope": "read"})
    assert (refused.status_code, "look like the id" in refused.text) == (422, True)


def test_a_revoked_key_is_useless(guarded: Server) -> None:
    made = call(guarded, "POST", "/v1/keys", ADMIN_KEY, json={"name": "x", "scope": "read"}).json()
    assert call(guarded, "GET", "/v1/jobs", made["key"]).status_code == 200
    assert call(guarded, "DELETE", f"/v1/keys/{made['id']}", ADMIN_KEY).json()["revoked_at"]
    assert call(guarded, "GET", "/v1/jobs", made["key"]).status_code == 401


@pytest.mark.parametrize("key", ["first-key", "k" * 42, "tw_00000000_" + "k" * 42, ""])
def test_a_short_admin_key_is_refused_at_start(key: str) -> None:
    with pytest.raises(SystemExit, match="32 random bytes"):
        check_admin_key(Settings(auth="keys", admin_key=SecretStr(key)))
    check_admin_key(Settings(auth="keys", admin_key=SecretStr("k" * 43)))


def test_without_keys_only_a_loopback_address_is_served() -> None:
    for host in ("127.0.0.1", "localhost", "::1", "127.1.2.3"):
        check_exposure(Settings(host=host))
    for host in ("0.0.0.0", "::", "192.168.1.5", "example.org"):
        with pytest.raises(SystemExit, match="TRAINWRIGHT_AUTH"):
            check_exposure(Settings(host=host))
        check_exposure(Settings(host=host, auth="keys"))


def test_an_old_schema_is_refused_with_what_to_run(home: Path) -> None:
    with pytest.raises(SchemaError, match="trainwright migrate"):
        create_app(Settings(home=home))


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "", "127.0.0.1@evil.example"])
def test_foreign_hosts_are_refused(client: httpx.Client, host: str) -> None:
    assert client.get("/v1/jobs", headers={"host": host}).status_code in (400, 421)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "127.0.0.1:1", "[::1]:8000"])
def test_names_of_this_machine_are_served(client: httpx.Client, host: str) -> None:
    assert client.get("/v1/jobs", headers={"host": host}).status_code == 200


def test_pages_of_other_sites_change_nothing(client: httpx.Client) -> None:
    for headers in ({"origin": "https://evil.example"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"}):
        assert client.post("/v1/jobs/x/cancel", headers=headers).status_code == 403
    own = {"origin": str(client.base_url).rstrip("/")}
    assert client.post("/v1/jobs/x/cancel", headers=own).status_code == 404


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", None])
def test_undeclared_content_is_refused(client: httpx.Client, content_type: str | None) -> None:
    headers = {"content-type": content_type} if content_type else {}
    response = client.post("/v1/jobs", content=b'{"kind": "train", "dataset": "digits"}', headers=headers)
    assert response.status_code == 415
    assert "application/json" in response.json()["detail"]


def test_security_headers_are_everywhere(client: httpx.Client) -> None:
    for path in ("/", "/docs", "/v1/jobs", "/v1/nothing", "/assets/style.css", "/assets/swagger/swagger-ui.css"):
        headers = client.get(path).headers
        assert headers["x-content-type-options"] == "nosniff", path
        assert "default-src 'self'" in headers["content-security-policy"]
        assert "access-control-allow-origin" not in headers


def test_a_hundred_posts_with_one_key_make_one_job(server_to_break: Server) -> None:
    answers: list[str] = []
    with client_of(server_to_break) as client:

        def post() -> None:
            response = client.post("/v1/jobs", json=LEAST, headers={"Idempotency-Key": "k"})
            answers.append(response.json().get("id", response.text))

        threads = [threading.Thread(target=post) for _ in range(100)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(answers) == 100
        assert len(set(answers)) == 1, set(answers)
        assert len(client.get("/v1/jobs").json()["data"]) == 1
