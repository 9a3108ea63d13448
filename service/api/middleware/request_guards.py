"""What is refused before any route is asked: foreign hosts and origins, undeclared content, too large bodies."""

import asyncio
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.http.problems import http_problem, problem_response, request_id

CHANGING: frozenset[str] = frozenset({"POST", "PUT", "PATCH", "DELETE"})
# What a page of another site can send without being asked first (the Fetch standard's "simple" content types).
UNDECLARED: frozenset[str] = frozenset({"", "text/plain", "application/x-www-form-urlencoded"})
BODY_SECONDS = 60.0
"""A JSON or YAML body that takes longer to arrive is given up."""
MAX_DIGITS = 18
"""Of a Content-Length: Python refuses to read numbers of thousands of digits."""
LOOPBACK: frozenset[str] = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True)
class RequestGuards:
    """The ASGI layer that refuses. `hosts` is None when any Host header may be served (keys protect the service)."""

    app: ASGIApp
    hosts: frozenset[str] | None
    max_upload_bytes: int
    max_body_bytes: int

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        limit = self._limit(scope)
        if refusal := self._refusal(scope, headers, limit):
            status, detail = refusal
            response = problem_response(http_problem(status, detail, request_id(Request(scope))))
            await response(scope, receive, send)
            return
        is_streamed = limit == self.max_upload_bytes  # what streams a file to the disk has a clock of its own
        await self.app(scope, _limited(receive, limit, None if is_streamed else BODY_SECONDS), send)

    def _refusal(self, scope: Scope, headers: Headers, limit: int) -> tuple[int, str] | None:
        host = headers.get("host", "")
        if self.hosts is not None and _hostname(host) not in self.hosts:
            return 421, f"This service does not answer for the host {host!r}"
        if scope["method"] not in CHANGING:
            return None
        origin = headers.get("origin")
        if headers.get("sec-fetch-site") == "cross-site" or (origin is not None and urlsplit(origin).netloc != host):
            return 403, "Pages of other sites may not change anything here"
        length = headers.get("content-length", "0")
        if not (length.isascii() and length.isdigit() and len(length) <= MAX_DIGITS):
            return 400, "The Content-Length is no number of bytes"
        if int(length) > limit:
            return 413, _too_large(limit)
        has_body = length != "0" or "transfer-encoding" in headers
        # No page can send a PUT without being asked first; `curl -T FILE` declares nothing.
        if has_body and scope["method"] != "PUT" and _content_type(headers) in UNDECLARED:
            return (
                415,
                "Say what the body is: `Content-Type: application/json` (or application/yaml, multipart/form-data)",
            )
        return None

    def _limit(self, scope: Scope) -> int:
        is_form = _content_type(Headers(scope=scope)) == "multipart/form-data"  # all else is read as JSON, whole
        has_file = scope["method"] == "PUT" or (scope["method"] == "POST" and is_form)
        is_upload = scope["path"].startswith(("/v1/datasets", "/v1/weights")) and has_file
        is_piece = scope["path"].startswith("/v1/uploads/") and scope["method"] == "PATCH"
        return self.max_upload_bytes if is_upload or is_piece else self.max_body_bytes


def _content_type(headers: Headers) -> str:
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def _hostname(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _too_large(limit: int) -> str:
    return f"The body is over the limit of {limit:,} bytes"


def _limited(receive: Receive, limit: int, seconds: float | None) -> Receive:
    """Counts what comes in; more than `limit` ends the request with 413, a body that takes too long with 408."""
    total, is_whole = 0, False
    end = None if seconds is None else asyncio.get_running_loop().time() + seconds

    async def receive_counted() -> Message:
        nonlocal total, is_whole
        try:
            async with asyncio.timeout_at(None if is_whole else end):
                message = await receive()
        except TimeoutError as error:
            raise HTTPException(408, f"The body did not arrive within {seconds:g} seconds") from error
        is_whole = not message.get("more_body", False)
        total += len(message.get("body", b""))
        if total > limit:
            raise HTTPException(413, _too_large(limit))
        return message

    return receive_counted
