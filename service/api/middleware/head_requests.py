"""`HEAD` on every resource that has `GET`: the same status and headers, and no body (RFC 9110 section 9.3.2)."""

from dataclasses import dataclass

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send


@dataclass(frozen=True)
class HeadRequests:
    """The ASGI layer that asks for `GET` and sends the head alone; a live stream ends with it."""

    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self.app(scope, receive, send)
            return
        is_answered = False

        async def send_head(message: Message) -> None:
            nonlocal is_answered
            if is_answered:
                raise OSError("the head is all that was asked for")  # as if the client had gone: nothing reads on
            await send(message)
            if message["type"] == "http.response.start":
                await send({"type": "http.response.body", "body": b""})
                is_answered = True

        try:
            await self.app({**scope, "method": "GET"}, receive, send_head)
        except (OSError, ClientDisconnect):
            if not is_answered:
                raise
