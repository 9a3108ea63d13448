"""Requests that share an answer: never an older one than each would have got alone."""

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from starlette.types import Message, Receive, Scope, Send

from service.api.middleware.shared_reads import SharedReads
from tests.service.api.server import Server
from tests.service.simulated_worker import SimulatedWorker


class Slow:
    """An application that numbers its answers when it begins them, and gives each when it is let."""

    def __init__(self, status: int = 200) -> None:
        self.status, self.begun = status, 0
        self.let = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.begun += 1
        number = self.begun
        await self.let.wait()
        await send({"type": "http.response.start", "status": self.status, "headers": []})
        await send({"type": "http.response.body", "body": str(number).encode()})


async def ask(app: SharedReads, path: str = "/v1/jobs", key: bytes = b"", cookie: bytes = b"") -> int:
    """The number in the answer."""
    said: list[Message] = []

    async def receive() -> Message:
        raise AssertionError("a GET has no body")

    async def send(message: Message) -> None:
        said.append(message)

    headers = [(name, value) for name, value in ((b"authorization", key), (b"cookie", cookie)) if value]
    scope = {"type": "http", "method": "GET", "path": path, "query_string": b"", "headers": headers}
    await app(scope, receive, send)
    assert [message["type"] for message in said] == ["http.response.start", "http.response.body"]
    said[0]["headers"].append((b"x", b"written by a layer outside"))
    return int(said[1]["body"])


def run(talk: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(talk(), 20))


async def settled() -> None:
    """Everything that can go on has gone on."""
    for _ in range(20):
        await asyncio.sleep(0)


def test_who_comes_while_an_answer_is_made_gets_the_next_and_shares_it() -> None:
    async def talk() -> None:
        slow = Slow()
        app = SharedReads(slow)
        first = asyncio.ensure_future(ask(app))
        await settled()
        late = [asyncio.ensure_future(ask(app)) for _ in range(50)]
        await settled()
        assert slow.begun == 1
        slow.let.set()
        assert await first == 1
        assert set(await asyncio.gather(*late)) == {2}
        assert await ask(app) == 3

    run(talk)


@pytest.mark.parametrize(
    ("status", "others"),
    [
        (200, {"key": b"Bearer of another"}),
        (200, {"path": "/v1/jobs/1"}),
        (200, {"path": "/v1/jobs/1/events"}),
        (404, {}),
    ],
)
def test_other_keys_pages_streams_and_errors_are_not_shared(status: int, others: dict[str, Any]) -> None:
    async def talk() -> None:
        slow = Slow(status)
        slow.let.set()
        app = SharedReads(slow)
        path, key = others.get("path", "/v1/jobs"), others.get("key", b"")
        asked = [ask(app), ask(app, path, key)] if status == 200 else [ask(app, path, key), ask(app, path, key)]
        numbers = await asyncio.gather(*asked)
        assert len(set(numbers)) == 2

    run(talk)


def test_other_sessions_are_not_shared() -> None:
    async def talk() -> None:
        slow = Slow()
        slow.let.set()
        app = SharedReads(slow)
        cookies = (b"trainwright_session=a", b"trainwright_session=b", b"")
        assert len(set(await asyncio.gather(*(ask(app, cookie=cookie) for cookie in cookies)))) == 3

    run(talk)


def test_who_hangs_up_does_not_end_it_for_the_others() -> None:
    async def talk() -> None:
        slow = Slow()
        app = SharedReads(slow)
        gone, stays = asyncio.ensure_future(ask(app)), asyncio.ensure_future(ask(app))
        await settled()
        gone.cancel()
        await settled()
        slow.let.set()
        assert await stays == 1

    run(talk)


def test_everyone_sees_their_own_job_in_the_list(server: Server, worker: SimulatedWorker) -> None:
    worker.dataset()

    def submit_and_look(_: int) -> bool:
        with httpx.Client(base_url=server.url) as client:
            job = client.post("/v1/jobs", json={"kind": "train", "dataset": "digits"}).json()
            listed = client.get("/v1/jobs?limit=100").json()["data"]
            deleted = client.delete(f"/v1/jobs/{job['id']}").status_code == 204
            left = client.get("/v1/jobs?limit=100").json()["data"]
            return deleted and job["id"] in {shown["id"] for shown in listed} - {shown["id"] for shown in left}

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(submit_and_look, range(40)))
