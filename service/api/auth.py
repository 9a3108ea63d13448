"""Who may do what: API keys with scopes, or nobody asked on a loopback address."""

import hmac
import ipaddress
import re
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from fastapi.security.utils import get_authorization_scheme_param
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers

from service.api.deps import Services, ServicesDep
from service.api.middleware.authentication import GRANTED
from service.errors import AuthError, ForbiddenError
from service.settings import Settings
from service.specs.requests import KeyScope
from service.store import keys
from service.store.keys import SCOPES

# 43 characters of base64 hold 32 bytes; in a key as the service makes them they follow its id.
_STRONG_KEY = re.compile("tw_.{8}_.{43,}|(?!tw_).{43,}")
_bearer = HTTPBearer(auto_error=False, scheme_name="key", description="An API key: `Authorization: Bearer tw_...`")
Credentials = Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)]


def check_exposure(settings: Settings) -> None:
    """Refuses to serve without keys on an address that others can reach; SystemExit says what to do."""
    if settings.auth == "off" and not is_loopback(settings.host):
        raise SystemExit(
            f"TRAINWRIGHT_AUTH is off, and {settings.host} can be reached from other machines: set "
            "TRAINWRIGHT_AUTH=keys and TRAINWRIGHT_ADMIN_KEY, or listen on 127.0.0.1"
        )


def check_admin_key(settings: Settings) -> None:
    """Refuses to serve with an admin key that can be guessed; SystemExit says how to make another."""
    key = None if settings.admin_key is None else settings.admin_key.get_secret_value()
    if settings.auth == "keys" and key is not None and not _STRONG_KEY.fullmatch(key):
        raise SystemExit(
            "TRAINWRIGHT_ADMIN_KEY is too short: 32 random bytes are the least. Make one with "
            "`echo tw_$(openssl rand -hex 4)_$(openssl rand -base64 32 | tr '+/' '-_' | tr -d '=')`"
        )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches that address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


async def authenticate(services: Services, headers: Headers) -> KeyScope:
    """What the request's key allows; everything where no keys are asked for. AuthError without a valid key."""
    if services.settings.auth == "off":
        return "admin"
    scheme, key = get_authorization_scheme_param(headers.get("authorization"))
    if scheme.lower() != "bearer" or not key:
        raise AuthError("Send a key: `Authorization: Bearer tw_...`")
    return await run_in_threadpool(_granted, services, key)


def _require(scope: KeyScope) -> Callable[..., Awaitable[None]]:
    async def check(request: Request, services: ServicesDep, _: Credentials) -> None:
        granted: KeyScope = request.scope.get(GRANTED) or await authenticate(services, request.headers)
        if SCOPES.index(granted) < SCOPES.index(scope):
            raise ForbiddenError(f"This needs a key with the scope `{scope}`; yours has `{granted}`")

    return check


def _granted(services: Services, text: str) -> KeyScope:
    first = services.settings.admin_key
    if first is not None and hmac.compare_digest(first.get_secret_value().encode(), text.encode()):
        return "admin"
    with services.store.read() as session:
        return keys.check(session, text)


MAY_READ: list[Any] = [Depends(_require("read"))]
MAY_TRAIN: list[Any] = [Depends(_require("train"))]
MAY_ADMIN: list[Any] = [Depends(_require("admin"))]
