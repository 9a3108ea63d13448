"""What an operation takes and offers: another body is refused with 415, a wish for another answer with 406."""

from fnmatch import fnmatchcase
from typing import Any

from fastapi.routing import APIRoute
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException

JSON = "application/json"


def taken(route: APIRoute) -> set[str]:
    """The media types of the body; none where the operation has no body, or takes any bytes."""
    described = (route.openapi_extra or {}).get("requestBody", {}).get("content", {})
    types = set(described) or ({JSON} if route.body_field else set())
    return set() if any("octet-stream" in media_type for media_type in types) else types


def offered(route: APIRoute) -> set[str]:
    """The media types of answers that tell of success; none where those have no body."""
    response_class: Any = getattr(route.response_class, "value", route.response_class)
    own = {response_class.media_type} if response_class.media_type and route.status_code != 204 else set()
    successes = (answer for status, answer in route.responses.items() if str(status).startswith("2"))
    return own | {media_type for answer in successes for media_type in answer.get("content", {})}


def check(headers: Headers, taken: set[str], offered: set[str]) -> None:
    """HTTPException when the body is of another type than is taken, or no answer would be of an accepted type."""
    sent = headers.get("content-type", "").partition(";")[0].strip().lower()
    is_json = JSON in taken and sent.startswith("application/") and sent.endswith("+json")
    if taken and sent and sent not in taken and not is_json:
        raise HTTPException(415, f"The body is `{sent}`; send {_listed(taken)}{' or YAML' * (JSON in taken)}")
    accept = headers.get("accept", "").lower()
    if offered and accept and not any(_accepts(part, offered) for part in accept.split(",")):
        raise HTTPException(406, f"The answer is {_listed(offered)}, and the request accepts `{accept}` alone")


def _accepts(media_range: str, offered: set[str]) -> bool:
    wish, *parameters = (part.strip() for part in media_range.split(";"))
    is_refused = any(parameter.startswith("q=0") and not parameter.strip("q=0.") for parameter in parameters)
    return not is_refused and any(fnmatchcase(media_type, wish) for media_type in offered)


def _listed(media_types: set[str]) -> str:
    return " or ".join(f"`{media_type}`" for media_type in sorted(media_types))
