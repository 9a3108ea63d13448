"""One answer for all who ask the same at the same time: fifty dashboards on one list cost what one does.

A request only gets an answer that was begun after it came, so nobody sees older data than alone. Answers other than 200
carry the id of their own request and are not shared.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SHARED = re.compile(r"/v1/(jobs|datasets|workers)(/[^/]+)?")
"""Lists and single resources: small answers in one piece. Streams and downloads are not among them."""
Key = tuple[str, bytes, tuple[str | None, ...]]
CREDENTIALS = ("authorization", "cookie")
"""What an answer depends on beside its address: whoever may not read must not get the answer of one who may."""


class SharedReads:
    """The ASGI layer that lets requests share."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._begun: dict[Key, asyncio.Future[Any]] = {}
        self._next: dict[Key, asyncio.Future[list[Message]]] = {}
        """The answer that is not begun yet: whoever comes now may share it."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "GET" or not SHARED.fullmatch(scope["path"]):
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        key = (scope["path"], scope["query_string"], tuple(headers.get(name) for name in CREDENTIALS))
        is_first = key not in self._next
        if is_first:
            self._next[key] = asyncio.ensure_future(self._make(key, dict(scope)))
        messages = await asyncio.shield(self._next[key])  # who hangs up does not end it for the others
        if messages[0]["status"] != 200 and not is_first:
            await self.app(scope, receive, send)
            return
        for message in messages:
            await send(_copy(message))

    async def _make(self, key: Key, scope: Scope) -> list[Message]:
        """Waits for the answer that is being made, then makes the next."""
        if key in self._begun:
            await asyncio.wait([self._begun[key]])
        self._begun[key] = self._next.pop(key)
        try:
            return await _answer(self.app, scope)
        finally:
            del self._begun[key]


async def _answer(app: ASGIApp, scope: Scope) -> list[Message]:
    messages: list[Message] = []
    await app(scope, _no_body, _appending(messages))
    return messages


def _copy(message: Message) -> Message:
    """The layers outside write into the headers."""
    return {**message, "headers": list(message["headers"])} if "headers" in message else message


async def _no_body() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


def _appending(messages: list[Message]) -> Callable[[Message], Awaitable[None]]:
    async def append(message: Message) -> None:
        messages.append(message)

    return append
