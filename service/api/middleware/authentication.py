"""Keys are checked before a byte of a body is read: whoever has none costs one look into the database."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from service.access.identities import Identity
from service.api.http.problems import on_lost_database, on_trainwright_error
from service.api.middleware.request_guards import CHANGING
from service.errors import AuthError

CALLER = "trainwright.caller"
"""Where a request's ASGI scope says who calls."""


@dataclass(frozen=True)
class Authentication:
    """The ASGI layer that asks for a key where a request changes something; other routes ask for it themselves."""

    app: ASGIApp
    authenticate: Callable[[Headers], Awaitable[Identity]]
    """Who calls; AuthError without a valid key."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] in CHANGING and scope["path"].startswith("/v1/"):
            try:
                scope[CALLER] = await self.authenticate(Headers(scope=scope))
            except AuthError as error:
                await on_trainwright_error(Request(scope), error)(scope, receive, send)
                return
            except (OperationalError, PoolTimeoutError) as error:
                await on_lost_database(Request(scope), error)(scope, receive, send)
                return
        await self.app(scope, receive, send)
