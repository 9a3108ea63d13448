"""Every error as `application/problem+json` (RFC 9457), with JSON pointers to what is wrong."""

import logging
import re
from collections.abc import Mapping
from math import ceil
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from service.errors import (
    AuthError,
    BusyError,
    DiskFullError,
    FieldError,
    ForbiddenError,
    InvalidRequestError,
    Problem,
    SpecError,
    ThrottledError,
    TrainwrightError,
    UnavailableError,
    cut,
    summary,
)
from service.resolution.field_errors import field_errors_in_body
from service.volumes import is_disk_full

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
# What FastAPI says of a body that json cannot read for other reasons than its syntax (nested too deeply).
UNREADABLE = "There was an error parsing the body"
_UNREADABLE_BODY = FieldError(pointer="", detail="the body cannot be read as JSON")
_PARAMETER = re.compile(r"\{[^}]+\}")
HTTP_CODES: dict[int, tuple[str, str]] = {
    400: ("bad-request", "Bad request"),
    403: ("forbidden", "Forbidden"),
    404: ("not-found", "Not found"),
    405: ("method-not-allowed", "The method is not allowed here"),
    406: ("not-acceptable", "No such media type is offered"),
    412: ("precondition-failed", "Precondition failed"),
    413: ("too-large", "The request is too large"),
    415: ("unsupported-media-type", "The content type is not supported"),
    416: ("range-not-satisfiable", "The range cannot be satisfied"),
    421: ("misdirected", "The host is not served here"),
}


def install(app: FastAPI) -> None:
    """Registers the handlers that turn each exception into a problem."""
    app.add_exception_handler(TrainwrightError, on_trainwright_error)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(OperationalError, on_lost_database)
    app.add_exception_handler(PoolTimeoutError, on_lost_database)


def problem_response(problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
    """The problem as a response."""
    return Response(
        problem.model_dump_json(), status_code=problem.status, media_type=MEDIA_TYPE, headers=dict(headers or {})
    )


def unexpected_problem(error: Exception, request_id: str) -> Response:
    """The answer to a full disk, or to a fault of our own: the log has the trace, the client the request's id."""
    if is_disk_full(error):
        return _full_disk(error, request_id)
    log.error("request %s failed", request_id, exc_info=error)
    failure = TrainwrightError("Something went wrong here; the request id leads to the log line.")
    return problem_response(failure.problem(request_id))


def http_problem(status: int, detail: str, request_id: str | None) -> Problem:
    """A problem for a plain HTTP status."""
    code, title = HTTP_CODES.get(status, (f"http-{status}", "The request failed"))
    return Problem(
        type=f"urn:trainwright:problem:{code}",
        title=title,
        status=status,
        detail=cut(detail),
        code=code,
        request_id=request_id,
    )


def request_id(request: Request) -> str | None:
    """The id that the middleware gave this request."""
    value = request.scope.get("trainwright.request_id")
    return value if isinstance(value, str) else None


def on_trainwright_error(request: Request, error: Exception) -> Response:
    """The answer to an error of our own."""
    assert isinstance(error, TrainwrightError)
    return problem_response(error.problem(request_id(request)), _headers(error))


def _headers(error: TrainwrightError) -> dict[str, str]:
    if isinstance(error, AuthError) and not isinstance(error, ForbiddenError):
        return {"WWW-Authenticate": 'Bearer realm="trainwright"'}
    if isinstance(error, ThrottledError):
        return {"Retry-After": str(ceil(error.seconds))}
    if isinstance(error, BusyError | UnavailableError | DiskFullError):
        return {"Retry-After": "10"}
    return {}


def _on_invalid_request(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    errors = field_errors_in_body(error.errors(), error.body)
    is_spec = request.url.path.startswith("/v1/jobs") and not any(e.pointer.startswith("/query") for e in errors)
    kind = SpecError if is_spec else InvalidRequestError
    return problem_response(kind(summary(errors), errors).problem(request_id(request)))


def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    detail, headers = str(error.detail), dict(error.headers or {})
    if error.status_code == 400 and detail == UNREADABLE:
        return on_trainwright_error(request, InvalidRequestError("The body cannot be read", [_UNREADABLE_BODY]))
    if error.status_code == 404 and detail == "Not Found":
        detail = f"Nothing is served at {request.url.path}"
    if error.status_code == 405:
        headers["Allow"] = _allowed(request) or headers.get("allow", "")
        if request.method == "OPTIONS":
            return Response(status_code=204, headers={"Allow": headers["Allow"]})
        detail = f"{request.method} is not allowed at {request.url.path}"
    return problem_response(http_problem(error.status_code, detail, request_id(request)), headers)


def _allowed(request: Request) -> str:
    """Every method that the contract has at this path (the router names those of one route only)."""
    paths: dict[str, dict[str, Any]] = request.app.openapi()["paths"]
    fits = (methods for path, methods in paths.items() if re.fullmatch(_PARAMETER.sub("[^/]+", path), request.url.path))
    methods = {method.upper() for methods in fits for method in methods}
    return ", ".join(sorted(methods | ({"HEAD"} if "GET" in methods else set()) | {"OPTIONS"})) if methods else ""


def on_lost_database(request: Request, error: Exception) -> Response:
    """The answer while the database takes no connection or does not end a statement."""
    if getattr(getattr(error, "orig", None), "sqlite_errorname", None) == "SQLITE_ERROR":
        raise error  # a fault in a statement: SQLite has the one class for both
    if is_disk_full(error):
        return _full_disk(error, request_id(request))
    log.warning("request %s: the database does not answer: %s", request_id(request), error)
    return on_trainwright_error(request, UnavailableError("The database does not answer; try again later"))


def _full_disk(error: Exception, request_id: str | None) -> Response:
    """The answer while a disk has no room for what the request brings."""
    log.warning("request %s: a disk is full: %s", request_id, error)
    full = DiskFullError(
        "A disk of the service is full and nothing was stored; try again later. /readyz names the disk"
    )
    return problem_response(full.problem(request_id), _headers(full))
