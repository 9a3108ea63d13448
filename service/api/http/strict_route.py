"""Routes that refuse what they would ignore: unknown query parameters, double keys of JSON, foreign media types."""

import difflib
import json
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from itertools import islice
from typing import Any

from fastapi import Request, Response, params
from fastapi.dependencies.utils import get_flat_params
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute

from service.api.http import media_types
from service.errors import MAX_ERRORS, cut


class StrictRequest(Request):
    """A request whose JSON has each key once."""

    async def json(self) -> Any:
        """The body's value; raises JSONDecodeError, which FastAPI tells as a fault of the body."""
        if not hasattr(self, "_json"):
            self._json = json.loads(await self.body(), object_pairs_hook=once_each)
        return self._json


class StrictRoute(APIRoute):
    """A route whose query parameters are all known, and that speaks the media types that are asked for."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's handler behind the checks."""
        handler = super().get_route_handler()
        fields = get_flat_params(self.dependant)
        known: dict[str, Any] = {field.alias: field for field in fields if isinstance(field.field_info, params.Query)}
        described = (self.openapi_extra or {}).get("parameters", [])  # those that an endpoint reads by itself
        known |= {parameter["name"]: None for parameter in described if parameter["in"] == "query"}
        lists = {field.alias for field in fields if "list[" in str(field.field_info.annotation)}

        taken, offered = media_types.taken(self), media_types.offered(self)

        async def strict(request: Request) -> Response:
            media_types.check(request.headers, taken, offered)
            if request.url.query and (faults := _faults(request, known, lists)):
                raise RequestValidationError(faults)
            return await handler(StrictRequest(request.scope, request.receive))

        return strict


def once_each(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """The object of JSON's pairs; raises JSONDecodeError when a key stands twice, for either could be meant."""
    value = dict(pairs)
    if len(value) < len(pairs):
        twice, _ = Counter(name for name, _ in pairs).most_common(1)[0]
        raise json.JSONDecodeError(f"the key `{cut(twice)}` is given twice", "", 0)
    return value


def _faults(request: Request, known: dict[str, Any], lists: set[str]) -> list[dict[str, Any]]:
    """As FastAPI lists them."""
    faults = []
    counts = Counter(name for name, _ in request.query_params.multi_items())
    for name, count in islice(counts.items(), MAX_ERRORS):
        if name not in known:
            near = difflib.get_close_matches(name.replace("-", "_"), known, n=1, cutoff=0.5)
            hint = f"did you mean `{near[0]}`?" if near else "known: " + (", ".join(sorted(known)) or "none")
            faults.append(_fault(name, f"unknown query parameter `{cut(name)}`; {hint}"))
        elif count > 1 and name not in lists:
            faults.append(_fault(name, f"`{name}` is given {count} times, and may be given once"))
    return faults


def _fault(name: str, message: str) -> dict[str, Any]:
    return {"type": "unknown_parameter", "loc": ("query", cut(name)), "msg": message, "input": None}
