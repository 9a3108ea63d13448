"""Who may do what: API keys with scopes and owners, or nobody asked on a loopback address."""

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends, Request, Security
from fastapi.routing import APIRoute
from fastapi.security import APIKeyCookie, HTTPAuthorizationCredentials, HTTPBearer
from fastapi.security.utils import get_authorization_scheme_param
from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection
from starlette.routing import compile_path

from service.access import sessions
from service.access.identities import ANYONE, Identity, check_owner, check_scope, identify
from service.api.deps import DatasetKey, JobId, Services, ServicesDep
from service.api.middleware.authentication import CALLER
from service.api.middleware.request_guards import CHANGING
from service.errors import AuthError, ForbiddenError
from service.settings import Settings
from service.specs.requests import KeyScope
from service.store import datasets, jobs

# 43 characters of base64 hold 32 bytes; in a key as the service makes them they follow its id.
_STRONG_KEY = re.compile("tw_.{8}_.{43,}|(?!tw_).{43,}")
_bearer = HTTPBearer(auto_error=False, scheme_name="key", description="An API key: `Authorization: Bearer tw_...`")
Credentials = Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)]

COOKIE = "trainwright_session"
_cookie = APIKeyCookie(name=COOKIE, auto_error=False, scheme_name="session", description="Set by `POST /v1/sessions`.")
SessionCookie = Annotated[str | None, Security(_cookie)]


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


async def authenticate(services: Services, request: HTTPConnection) -> Identity:
    """Who calls, by key or by session.

    Where keys are asked for it raises AuthError without a valid one, ThrottledError after too many wrong ones, and
    ForbiddenError when a page that is not the service's own changes something with a browser's session.
    """
    if services.settings.auth == "off":
        return ANYONE
    scheme, key = get_authorization_scheme_param(request.headers.get("authorization"))
    if scheme.lower() == "bearer" and key:
        return await run_in_threadpool(identify, services.store, key, address_of(request))
    if cookie := request.cookies.get(COOKIE):
        _check_origin(request)
        return await run_in_threadpool(_of_session, services, cookie)
    raise AuthError("Send a key: `Authorization: Bearer tw_...`")


def address_of(request: HTTPConnection) -> str:
    """The client's address; a unix socket has none."""
    return request.client.host if request.client else "none"


def _check_origin(request: HTTPConnection) -> None:
    """A browser sends the cookie along for every page: what changes something has to say that the page is ours."""
    is_own = urlsplit(request.headers.get("origin", "")).netloc == request.headers.get("host")
    if request.scope["method"] in CHANGING and not is_own:
        raise ForbiddenError("A session changes things only with an `Origin` header that names this service")


def _of_session(services: Services, cookie: str) -> Identity:
    with services.store.read() as session:
        return sessions.find(session, services.settings, cookie)[0]


@dataclass(frozen=True)
class Require:
    """A dependency: the caller's key has this scope, or a wider one."""

    scope: KeyScope

    async def __call__(self, request: Request, services: ServicesDep, _: Credentials, __: SessionCookie) -> None:
        """Notes the caller for `CallerDep`, unless the layer outside has done so."""
        caller = request.scope.get(CALLER) or await authenticate(services, request)
        check_scope(caller, self.scope)
        request.scope[CALLER] = caller


class NeededScopes:
    """Which scope the routes need that change something: asked before a byte of a body is read."""

    def __init__(self, routers: Iterable[APIRouter]) -> None:
        routes = [route for router in routers for route in router.routes if isinstance(route, APIRoute)]
        self._routes = [
            (compile_path(f"/v1{route.path}")[0], route.methods or set(), _scope(route)) for route in routes
        ]

    def __call__(self, method: str, path: str) -> KeyScope | None:
        """None where no key is asked for; `read` where there is no such route, of which only callers are told."""
        fitting = (scope for regex, methods, scope in self._routes if method in methods and regex.match(path))
        return next(fitting, "read")


def _scope(route: APIRoute) -> KeyScope | None:
    required = (dependency.dependency for dependency in route.dependencies)
    return next((require.scope for require in required if isinstance(require, Require)), None)


async def _caller(request: Request) -> Identity:
    caller: Identity = request.scope[CALLER]
    return caller


MAY_READ: list[Any] = [Depends(Require("read"))]
MAY_TRAIN: list[Any] = [Depends(Require("train"))]
MAY_ADMIN: list[Any] = [Depends(Require("admin"))]
CallerDep = Annotated[Identity, Depends(_caller)]
"""Who calls; for routes that require a scope."""


def own_job(job_id: JobId, services: ServicesDep, caller: CallerDep) -> str:
    """The id of a job that the caller may change; ForbiddenError when it is another's."""
    with services.store.read() as session:
        check_owner(caller, jobs.get(session, job_id).owner, f"The job {job_id}")
    return job_id


def _own_dataset(dataset: DatasetKey, services: ServicesDep, caller: CallerDep) -> str:
    with services.store.read() as session:
        row = datasets.get(session, dataset)
        check_owner(caller, row.owner, f"The dataset `{row.name}`")
    return row.id


OwnJobId = Annotated[str, Depends(own_job)]
"""Id of a job that the caller may change."""
OwnDatasetId = Annotated[str, Depends(_own_dataset)]
"""Id of a dataset that the caller may change."""
