"""YAML request bodies, turned into JSON before any route sees them."""

import json

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.http import yaml_text
from service.api.http.problems import http_problem, problem_response, request_id
from service.errors import InvalidRequestError

YAML_TYPES: frozenset[str] = frozenset({"application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml"})
# PyYAML reads about 1 MB in 2 s.
MAX_YAML_BYTES = 256 * 2**10


class YamlBodies:
    """The ASGI layer that translates."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not _is_yaml(scope):
            await self.app(scope, receive, send)
            return
        request = Request(scope, receive)
        try:
            body = await _read(request)
            translated = await run_in_threadpool(_to_json, body)
        except HTTPException as error:
            response = problem_response(http_problem(error.status_code, error.detail, request_id(request)))
        except InvalidRequestError as error:
            response = problem_response(error.problem(request_id(request)))
        else:
            headers = MutableHeaders(scope=scope)
            headers["content-type"] = "application/json"
            headers["content-length"] = str(len(translated))
            await self.app(scope, _replay(translated, receive), send)
            return
        await response(scope, receive, send)


def _is_yaml(scope: Scope) -> bool:
    content_type = MutableHeaders(scope=scope).get("content-type", "")
    return content_type.partition(";")[0].strip().lower() in YAML_TYPES


async def _read(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_YAML_BYTES:
            raise HTTPException(413, f"A YAML body may have {MAX_YAML_BYTES:,} bytes at most; send JSON")
    return bytes(body)


def _to_json(body: bytes) -> bytes:
    try:
        return json.dumps(yaml_text.load(body)).encode()
    except (yaml_text.YamlTextError, TypeError) as error:
        raise InvalidRequestError(f"The body is not YAML: {error}") from error


def _replay(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives this body once, then whatever the client still says (that it left)."""
    is_sent = False

    async def replayed() -> Message:
        nonlocal is_sent
        if is_sent:
            return await receive()
        is_sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replayed
