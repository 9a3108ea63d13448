"""What every endpoint needs, made once by `create_app` and handed over explicitly."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Query, Request
from pydantic import BaseModel
from starlette.responses import Response

from service.api.envelope import RequestStatistics
from service.api.streams import Tails
from service.settings import Settings
from service.store.session import Store


@dataclass(frozen=True)
class Services:
    """The parts behind the API."""

    settings: Settings
    store: Store
    ring: Callable[[str], None]
    """Tells the workers that a job waits; a broker that is down is no error."""
    broker_is_up: Callable[[], bool]
    tails: Tails
    statistics: RequestStatistics


def services(request: Request) -> Services:
    """The services of this app."""
    found: Services = request.app.state.services
    return found


ServicesDep = Annotated[Services, Depends(services)]
Limit = Annotated[int, Query(ge=1, le=500, description="Items of a page.")]
Cursor = Annotated[str | None, Query(max_length=500, description="`next_cursor` of the page before.")]


def answer(model: BaseModel, status: int = 200, **headers: str) -> Response:
    """A report as a response with this status, for endpoints that answer in more than one way."""
    dashed = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(model.model_dump_json(), status_code=status, media_type="application/json", headers=dashed)


def documented(status: int, model: type[BaseModel], description: str) -> dict[int | str, dict[str, Any]]:
    """One more response for the contract."""
    return {status: {"model": model, "description": description}}
