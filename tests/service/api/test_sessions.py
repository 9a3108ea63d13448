"""Browsers sign in with a key and call with a cookie, from the service's own pages only."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from service.access import sessions
from service.errors import AuthError
from service.store.session import Store, now
from service.store.tables import SessionRow
from tests.service.api.guarded import ADMIN_KEY, caller, guarded_server, make_key
from tests.service.api.server import Server

LEAST = {"kind": "train", "dataset": "digits"}


@pytest.fixture
def guarded(home: Path, database_url: str) -> Iterator[Server]:
    """A service that asks for keys."""
    with guarded_server(home, database_url, session_seconds=1000) as running:
        yield running


@pytest.fixture
def browser(guarded: Server) -> Iterator[httpx.Client]:
    """It keeps cookies, and says which page it is on."""
    with httpx.Client(base_url=guarded.url, headers={"origin": guarded.url}, timeout=30) as opened:
        yield opened


def sign_in(browser: httpx.Client, key: str) -> httpx.Response:
    answer = browser.post("/v1/sessions", json={"key": key})
    assert answer.status_code == 201, answer.text
    return answer


def test_a_browser_signs_in_calls_and_signs_out(guarded: Server, browser: httpx.Client) -> None:
    assert browser.get("/v1/jobs").status_code == 401
    answer = sign_in(browser, make_key(guarded, "alice"))
    assert (answer.json()["owner"], answer.json()["scope"]) == ("alice", "train")
    attributes = {part.strip().lower() for part in answer.headers["set-cookie"].split(";")[1:]}
    assert attributes == {"httponly", "samesite=strict", "path=/", "max-age=1000"}
    assert browser.get("/v1/sessions").json() == answer.json()
    job = browser.post("/v1/jobs", json=LEAST)
    assert (job.status_code, job.json()["owner"]) == (202, "alice")
    cookie = dict(browser.cookies)
    assert browser.delete("/v1/sessions").status_code == 204
    assert not browser.cookies
    assert httpx.get(f"{guarded.url}/v1/jobs", cookies=cookie).status_code == 401


def test_a_session_changes_things_from_our_own_pages_only(guarded: Server, browser: httpx.Client) -> None:
    sign_in(browser, ADMIN_KEY)
    del browser.headers["origin"]
    assert browser.get("/v1/jobs").status_code == 200
    for headers in ({}, {"origin": "null"}, {"origin": "https://evil.example"}, {"origin": ""}):
        refused = browser.post("/v1/jobs", json=LEAST, headers=headers)
        assert (refused.status_code, refused.json()["code"]) == (403, "forbidden"), headers
        assert browser.delete("/v1/sessions", headers=headers).status_code == 403
    assert browser.get("/v1/jobs").json()["data"] == []


def test_a_session_dies_with_its_key(guarded: Server, browser: httpx.Client) -> None:
    key = make_key(guarded, "alice", "read")
    sign_in(browser, key)
    assert browser.get("/v1/jobs").status_code == 200
    with caller(guarded, ADMIN_KEY) as admin:
        admin.delete(f"/v1/keys/{key.split('_')[1]}")
    assert browser.get("/v1/jobs").status_code == 401
    assert browser.get("/v1/sessions").status_code == 401


def test_a_session_of_an_admin_key_that_was_replaced_is_over(guarded: Server, browser: httpx.Client) -> None:
    sign_in(browser, ADMIN_KEY)
    cookie = browser.cookies["trainwright_session"]
    settings = guarded.store.settings
    replaced = settings.model_copy(update={"admin_key": SecretStr("x" * 43)})
    with guarded.store.read() as session:
        assert sessions.find(session, settings, cookie)[0].name == "admin"
        for other in (replaced, settings.model_copy(update={"admin_key": None})):
            with pytest.raises(AuthError):
                sessions.find(session, other, cookie)


def test_a_session_expires_and_its_row_goes(guarded: Server, browser: httpx.Client) -> None:
    sign_in(browser, ADMIN_KEY)
    _expire(guarded.store)
    assert browser.get("/v1/jobs").status_code == 401
    with guarded.store.begin() as session:
        sessions.delete_expired(session)
        assert session.execute(sa.select(SessionRow)).all() == []


def test_the_table_of_sessions_opens_nothing(guarded: Server, browser: httpx.Client) -> None:
    sign_in(browser, ADMIN_KEY)
    with guarded.store.read() as session:
        stored = session.execute(sa.select(SessionRow)).scalar_one()
    secret = browser.cookies["trainwright_session"].partition(".")[2]
    assert secret not in (stored.sha256, stored.key_id)
    for cookie in (f"admin.{stored.sha256}", "admin.", ".", "admin", f".{secret}", f"00000000.{secret}"):
        refused = httpx.get(f"{guarded.url}/v1/jobs", cookies={"trainwright_session": cookie})
        assert refused.status_code == 401, cookie


def test_a_wrong_key_opens_no_session(browser: httpx.Client) -> None:
    refused = browser.post("/v1/sessions", json={"key": "tw_00000000_wrong"})
    assert (refused.status_code, refused.headers.get("set-cookie")) == (401, None)


def test_a_session_over_tls_is_kept_to_it(guarded: Server) -> None:
    proxied = {"x-forwarded-proto": "https"}  # as a proxy on this machine says
    answer = httpx.post(f"{guarded.url}/v1/sessions", json={"key": ADMIN_KEY}, headers=proxied)
    assert "secure" in answer.headers["set-cookie"].lower()


def test_a_service_without_keys_has_no_sessions(client: httpx.Client) -> None:
    assert client.get("/v1/sessions").json() == {"owner": None, "scope": "admin", "expires_at": None}
    assert client.post("/v1/sessions", json={"key": "any"}).status_code == 409
    assert client.delete("/v1/sessions").status_code == 204


def _expire(store: Store) -> None:
    with store.begin() as session:
        session.execute(sa.update(SessionRow).values(expires_at=now(session) - timedelta(seconds=1)))
