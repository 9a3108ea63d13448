"""What every answer carries: a request id, security headers, and its place in the request statistics."""

import re
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.http.problems import unexpected_problem
from service.api.http.responses import SECURITY_HEADERS

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


@dataclass
class RequestStatistics:
    """Counts and seconds of answered requests, by method and status."""

    started: float = field(default_factory=time.monotonic)
    counts: Counter[tuple[str, int]] = field(default_factory=Counter)
    seconds: float = 0.0

    def add(self, method: str, status: int, seconds: float) -> None:
        """Notes one answer; called on the event loop only."""
        self.counts[method, status] += 1
        self.seconds += seconds


class RequestContext:
    """The outermost ASGI layer: gives the request its id, and the answer its headers."""

    def __init__(self, app: ASGIApp, statistics: RequestStatistics) -> None:
        self.app = app
        self.statistics = statistics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        scope["trainwright.request_id"] = request_id = _request_id(Headers(scope=scope))
        started, is_answered = time.perf_counter(), False

        async def send_with_headers(message: Message) -> None:
            nonlocal is_answered
            if message["type"] == "http.response.start":
                is_answered = True
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
                headers["X-Request-ID"] = request_id
                self.statistics.add(scope["method"], message["status"], time.perf_counter() - started)
            await send(message)

        try:
            await self.app(scope, receive, send_with_headers)
        except Exception as error:
            if is_answered:
                raise  # the server cuts the connection, which tells that the answer is not whole
            await unexpected_problem(error, request_id)(scope, receive, send_with_headers)


def _request_id(headers: Headers) -> str:
    """The client's own id when it is harmless, else a new one."""
    given = headers.get("x-request-id", "")
    return given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
