"""`ETag` on answers in one piece, and 304 for who has that answer already (RFC 9110 sections 8.8.3 and 13.1.2)."""

import hashlib
from dataclasses import dataclass

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

NOT_IN_304: tuple[str, ...] = ("content-length", "content-type")


@dataclass(frozen=True)
class ConditionalReads:
    """The ASGI layer that compares. Streams, and answers that nobody may keep, pass as they are."""

    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "GET" or not scope["path"].startswith("/v1/"):
            await self.app(scope, receive, send)
            return
        known = Headers(scope=scope).get("if-none-match", "")
        start: Message | None = None

        async def send_tagged(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start" and _is_taggable(message):
                start = message  # it waits for the body, of which its tag is made
                return
            if start is not None:
                head, start = start, None
                if not message.get("more_body", False) and _tag(head, message["body"], known):
                    message = {"type": "http.response.body", "body": b""}
                await send(head)
            await send(message)

        await self.app(scope, receive, send_tagged)


def _is_taggable(message: Message) -> bool:
    headers = Headers(raw=message["headers"])
    return message["status"] == 200 and "etag" not in headers and headers.get("cache-control") != "no-store"


def _tag(head: Message, body: bytes, known: str) -> bool:
    """Writes the tag into the head; True where the client has this answer, and the head says so."""
    etag = f'"{hashlib.blake2b(body, digest_size=16).hexdigest()}"'
    headers = MutableHeaders(raw=head["headers"])
    headers["ETag"] = etag
    headers.setdefault("Cache-Control", "private, no-cache")
    headers.add_vary_header("Accept")
    if not is_among(etag, known):
        return False
    for name in NOT_IN_304:
        del headers[name]
    head["status"], head["headers"] = 304, headers.raw
    return True


def is_among(etag: str, known: str) -> bool:
    """Whether an `If-None-Match` names this tag; tags compare weakly, and `*` is any."""
    tags = [tag.strip().removeprefix("W/") for tag in known.split(",")]
    return etag in tags or tags == ["*"]
