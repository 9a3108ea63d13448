"""Every error as `application/problem+json` (RFC 9457), with JSON pointers to what is wrong."""

import logging
import re
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from service.resolution import field_errors as validation_messages
from service.api.middleware.request_context import SECURITY_HEADERS
from service.errors import (
    AuthError,
    BusyError,
    FieldError,
    ForbiddenError,
    InvalidRequestError,
    Problem,
    SpecError,
    TrainwrightError,
    UnavailableError,
)

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
# What FastAPI says of a body that json cannot read for other reasons than its syntax (nested too deeply).
UNREADABLE = "There was an error parsing the body"
_UNREADABLE_BODY = FieldError(pointer="", detail="the body cannot be read as JSON")
_PARAMETER = re.compile(r"\{[^}]+\}")
DISCRIMINATORS: tuple[str, ...] = ("kind", "family", "op", "name", "type")
HTTP_CODES: dict[int, tuple[str, str]] = {
    400: ("bad-request", "Bad request"),
    403: ("forbidden", "Forbidden"),
    404: ("not-found", "Not found"),
    405: ("method-not-allowed", "The method is not allowed here"),
    412: ("precondition-failed", "Precondition failed"),
    413: ("too-large", "The request is too large"),
    415: ("unsupported-media-type", "The content type is not supported"),
    416: ("range-not-satisfiable", "The range cannot be satisfied"),
    421: ("misdirected", "The host is not served here"),
}


def install(app: FastAPI) -> None:
    """Registers the handlers that turn each exception into a problem."""
    app.add_exception_handler(TrainwrightError, _on_trainwright_error)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(Exception, _on_unexpected)


def problem_response(problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
    """The problem as a response."""
    return Response(
        problem.model_dump_json(), status_code=problem.status, media_type=MEDIA_TYPE, headers=dict(headers or {})
    )


def http_problem(status: int, detail: str, request_id: str | None) -> Problem:
    """A problem for a plain HTTP status."""
    code, title = HTTP_CODES.get(status, (f"http-{status}", "The request failed"))
    return Problem(
        type=f"urn:trainwright:problem:{code}",
        title=title,
        status=status,
        detail=detail,
        code=code,
        request_id=request_id,
    )


def request_id(request: Request) -> str | None:
    """The id that the middleware gave this request."""
    value = request.scope.get("trainwright.request_id")
    return value if isinstance(value, str) else None


def spec_error(error: ValidationError, body: object, prefix: str = "") -> SpecError:
    """A validation error of a spec that was built by hand (a patch, a clone), as our own error."""
    errors = field_errors(error.errors(include_url=False), body, located_in_body=False)
    moved = [FieldError(pointer=prefix + each.pointer, detail=each.detail) for each in errors]
    return SpecError(summary(moved), moved)


def summary(errors: Sequence[FieldError]) -> str:
    """One sentence over all faults: the first, and how many more."""
    if not errors:
        return "The request is not valid"
    first = f"{errors[0].pointer or 'the body'}: {errors[0].detail}"
    return first if len(errors) == 1 else f"{first} (and {len(errors) - 1} more)"


def field_errors(errors: Sequence[Any], body: object, *, located_in_body: bool = True) -> list[FieldError]:
    """Pydantic's error list as pointers into the body that was sent, one entry a pointer."""
    details: dict[str, list[str]] = {}
    strays: set[str] = set()
    for error in errors:
        pointer, is_tail_tag = _pointer(error, body, located_in_body)
        details.setdefault(pointer, [])
        if is_tail_tag:
            strays.add(pointer)
        if (detail := validation_messages.detail(error)) not in details[pointer]:
            details[pointer].append(detail)
    return [
        FieldError(pointer=pointer, detail="; or: ".join(texts))
        for pointer, texts in details.items()
        if not (pointer in strays and any(other.startswith(pointer + "/") for other in details))
    ]


def _pointer(error: Mapping[str, Any], body: object, located_in_body: bool) -> tuple[str, bool]:
    """JSON pointer of one error, and whether its last part was a union's tag that clients never sent."""
    location = tuple(error["loc"])
    if located_in_body:
        if not location or location[0] != "body":
            return _join(location), False
        location = location[1:]
    if error["type"] == "json_invalid":
        return "", False
    parts, is_tail_tag = _walk(location, body, error["type"] == "missing")
    context = error.get("ctx") or {}
    if error["type"] == "unknown_field":
        parts.append(context["name"])
    if error["type"] in ("union_tag_invalid", "union_tag_not_found"):
        parts.append(str(context["discriminator"]).strip("'"))
    return _join(parts), is_tail_tag


def _walk(location: Sequence[Any], body: object, is_missing: bool) -> tuple[list[Any], bool]:
    """Follows a location through the body; parts that are not in it name a member of a union and go."""
    kept: list[Any] = []
    is_tail_tag, may_be_tag = False, True
    for index, part in enumerate(location):
        is_tail_tag = False
        if isinstance(body, dict):
            if may_be_tag and any(body.get(name) == part for name in DISCRIMINATORS):
                may_be_tag = False
                continue
            if part in body or (is_missing and index == len(location) - 1):
                kept.append(part)
                body, may_be_tag = body.get(part), True
                continue
        elif isinstance(body, list | tuple) and isinstance(part, int) and part < len(body):
            kept.append(part)
            body, may_be_tag = body[part], True
            continue
        is_tail_tag = True
    return kept, is_tail_tag


def _join(parts: Sequence[Any]) -> str:
    """RFC 6901."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


def _on_trainwright_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, TrainwrightError)
    return problem_response(error.problem(request_id(request)), _headers(error))


def _headers(error: TrainwrightError) -> dict[str, str]:
    if isinstance(error, AuthError) and not isinstance(error, ForbiddenError):
        return {"WWW-Authenticate": 'Bearer realm="trainwright"'}
    if isinstance(error, BusyError | UnavailableError):
        return {"Retry-After": "10"}
    return {}


def _on_invalid_request(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    errors = field_errors(error.errors(), error.body)
    is_spec = request.url.path.startswith("/v1/jobs") and not any(e.pointer.startswith("/query") for e in errors)
    kind = SpecError if is_spec else InvalidRequestError
    return problem_response(kind(summary(errors), errors).problem(request_id(request)))


def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    detail, headers = str(error.detail), dict(error.headers or {})
    if error.status_code == 400 and detail == UNREADABLE:
        return _on_trainwright_error(request, InvalidRequestError("The body cannot be read", [_UNREADABLE_BODY]))
    if error.status_code == 404 and detail == "Not Found":
        detail = f"Nothing is served at {request.url.path}"
    if error.status_code == 405:
        detail = f"{request.method} is not allowed at {request.url.path}"
        headers["Allow"] = _allowed(request) or headers.get("allow", "")
    return problem_response(http_problem(error.status_code, detail, request_id(request)), headers)


def _allowed(request: Request) -> str:
    """Every method that the contract has at this path (the router names those of one route only)."""
    paths: dict[str, dict[str, Any]] = request.app.openapi()["paths"]
    fits = (methods for path, methods in paths.items() if re.fullmatch(_PARAMETER.sub("[^/]+", path), request.url.path))
    return ", ".join(sorted({method.upper() for methods in fits for method in methods}))


def _on_unexpected(request: Request, error: Exception) -> Response:
    log.error("request %s failed", request_id(request), exc_info=error)
    failure = TrainwrightError("Something went wrong here; the request id leads to the log line.")
    # This answer passes no other layer on its way out.
    headers = {**SECURITY_HEADERS, "X-Request-ID": request_id(request) or ""}
    return problem_response(failure.problem(request_id(request)), headers)
