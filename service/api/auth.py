"""Who may do what: API keys with scopes and owners, or nobody asked on a loopback address."""

import ipaddress
import re
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from fastapi.security.utils import get_authorization_scheme_param
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers

from service.access.identities import ANYONE, Identity, check_owner, check_scope, identify
from service.api.deps import DatasetKey, JobId, Services, ServicesDep
from service.api.middleware.authentication import CALLER
from service.errors import AuthError
from service.settings import Settings
from service.specs.requests import KeyScope
from service.store import datasets, jobs

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


async def authenticate(services: Services, headers: Headers) -> Identity:
    """Who calls; AuthError without a valid key where keys are asked for."""
    if services.settings.auth == "off":
        return ANYONE
    scheme, key = get_authorization_scheme_param(headers.get("authorization"))
    if scheme.lower() != "bearer" or not key:
        raise AuthError("Send a key: `Authorization: Bearer tw_...`")
    return await run_in_threadpool(identify, services.store, key)


@dataclass(frozen=True)
class Require:
    """A dependency: the caller's key has this scope, or a wider one."""

    scope: KeyScope

    async def __call__(self, request: Request, services: ServicesDep, _: Credentials) -> None:
        """Notes the caller for `CallerDep`, unless the layer outside has done so."""
        caller = request.scope.get(CALLER) or await authenticate(services, request.headers)
        check_scope(caller, self.scope)
        request.scope[CALLER] = caller


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
