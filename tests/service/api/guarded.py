"""A service that asks for keys, and callers who have one each."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from pydantic import SecretStr

from service.settings import Settings
from tests.service.api.notifications import Notifications
from tests.service.api.server import Server

ADMIN_KEY = "tw_00000000_" + "k" * 43


@contextmanager
def guarded_server(home: Path, database_url: str, **settings: Any) -> Iterator[Server]:
    """A running service whose first key is `ADMIN_KEY`."""
    first = SecretStr(ADMIN_KEY)
    chosen = Settings(
        home=home, database_url=database_url, auth="keys", admin_key=first, sweep_seconds=3600, **settings
    )
    with Server(chosen, Notifications().notify) as running:
        yield running


def caller(server: Server, key: str) -> httpx.Client:
    """Calls with this key."""
    return httpx.Client(base_url=server.url, headers={"authorization": f"Bearer {key}"}, timeout=30)


def make_key(server: Server, name: str, scope: str = "train") -> str:
    """The text of a new key."""
    with caller(server, ADMIN_KEY) as admin:
        made = admin.post("/v1/keys", json={"name": name, "scope": scope})
    key: str = made.json()["key"]
    return key
