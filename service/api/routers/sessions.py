"""Sessions of browsers: sign in with a key, ask who one is, sign out."""

from contextlib import suppress
from datetime import datetime

from fastapi import APIRouter, Request, Response

from service.access import sessions
from service.access.identities import Identity, identify
from service.api.auth import COOKIE, MAY_READ, CallerDep, SessionCookie, address_of
from service.api.deps import ServicesDep
from service.api.http.responses import answer
from service.api.http.strict_route import StrictRoute
from service.errors import AuthError, ConflictError
from service.reports.operations import SessionReport
from service.specs.requests import SessionRequest

router = APIRouter(prefix="/sessions", tags=["operations"], route_class=StrictRoute)


@router.post("", status_code=201, response_model=SessionReport)
def open_session(body: SessionRequest, request: Request, services: ServicesDep) -> Response:
    """Sets a cookie that stands for the key, until it expires or the key is revoked."""
    settings = services.settings
    if settings.auth == "off":
        raise ConflictError("This service asks for no keys (`TRAINWRIGHT_AUTH` is off), so it has no sessions")
    caller = identify(services.store, body.key, address_of(request))
    with services.store.begin(caller.name) as session:
        cookie, expires_at = sessions.open_for(session, settings, caller)
    response = answer(_report(caller, expires_at), 201, {"Cache-Control": "no-store"})
    seconds, is_secure = int(settings.session_seconds), request.url.scheme == "https"
    response.set_cookie(COOKIE, cookie, max_age=seconds, httponly=True, samesite="strict", secure=is_secure)
    return response


@router.get("", dependencies=MAY_READ)
def get_session(services: ServicesDep, caller: CallerDep, cookie: SessionCookie) -> SessionReport:
    """Who calls: the key's name and scope, and when the session expires."""
    if cookie is not None and caller.key_id is not None:
        with suppress(AuthError), services.store.read() as session:  # a caller with a key may have an old cookie too
            of_session, expires_at = sessions.find(session, services.settings, cookie)
            return _report(caller, expires_at if of_session == caller else None)
    return _report(caller, None)


@router.delete("", status_code=204, dependencies=MAY_READ)
def end_session(services: ServicesDep, caller: CallerDep, cookie: SessionCookie) -> Response:
    """Ends the session and takes the cookie back."""
    if cookie is not None and caller.key_id is not None:
        with suppress(AuthError), services.store.begin(caller.name) as session:
            sessions.end(session, services.settings, cookie)
    response = Response(status_code=204)
    response.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return response


def _report(caller: Identity, expires_at: datetime | None) -> SessionReport:
    return SessionReport(owner=caller.name, scope=caller.scope, expires_at=expires_at)
