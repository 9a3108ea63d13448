"""Keys and their scopes are checked before a byte of a body is read: who has none costs a look into the database."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.requests import HTTPConnection, Request
from starlette.types import ASGIApp, Receive, Scope, Send

from service.access.identities import Identity, check_scope
from service.api.http.problems import on_lost_database, on_trainwright_error
from service.api.middleware.request_guards import CHANGING
from service.errors import TrainwrightError
from service.specs.requests import KeyScope

CALLER = "trainwright.caller"
"""Where a request's ASGI scope says who calls."""


@dataclass(frozen=True)
class Authentication:
    """The ASGI layer that asks for a key where a request changes something; other routes ask for it themselves."""

    app: ASGIApp
    authenticate: Callable[[HTTPConnection], Awaitable[Identity]]
    """Who calls; an error of our own where that is refused."""
    needed_scope: Callable[[str, str], KeyScope | None]
    """What a key must allow for this method and path; None where none is asked for."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] in CHANGING and scope["path"].startswith("/v1/"):
            try:
                await self._admit(scope)
            except TrainwrightError as error:
                await on_trainwright_error(Request(scope), error)(scope, receive, send)
                return
            except (OperationalError, PoolTimeoutError) as error:
                await on_lost_database(Request(scope), error)(scope, receive, send)
                return
        await self.app(scope, receive, send)

    async def _admit(self, scope: Scope) -> None:
        needed = self.needed_scope(scope["method"], scope["path"])
        if needed is not None:
            scope[CALLER] = await self.authenticate(HTTPConnection(scope))
            check_scope(scope[CALLER], needed)
