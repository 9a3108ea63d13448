"""What every endpoint needs, made once by `create_app` and handed over explicitly."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Path, Query, Request
from pydantic import BaseModel
from starlette.background import BackgroundTask
from starlette.responses import Response

from service.api.http.sse import Tails
from service.api.middleware.request_context import RequestStatistics
from service.reports.page import CURSOR
from service.settings import Settings
from service.store.session import Store


@dataclass(frozen=True)
class Services:
    """The parts behind the API."""

    settings: Settings
    store: Store
    notify: Callable[[Iterable[str]], bool]
    """Tells the workers that jobs wait; False when the broker does not answer."""
    broker_answers: Callable[[], bool]
    tails: Tails
    statistics: RequestStatistics


async def services(request: Request) -> Services:
    """The services of this app (`async`: a plain function would cost each request a hop to a thread)."""
    found: Services = request.app.state.services
    return found


ServicesDep = Annotated[Services, Depends(services)]
JobId = Annotated[str, Path(max_length=100, description="Id of a job.")]
Limit = Annotated[int, Query(ge=1, le=500, description="Items of a page.")]
Cursor = Annotated[str | None, Query(pattern=CURSOR, description="`next_cursor` of the page before.")]


def answer(
    model: BaseModel, status: int = 200, headers: dict[str, str] | None = None, then: BackgroundTask | None = None
) -> Response:
    """A report as a response with this status, for endpoints that answer in more than one way."""
    return Response(
        model.model_dump_json(), status_code=status, media_type="application/json", headers=headers, background=then
    )


def notifying(services: Services, job_ids: Iterable[str]) -> BackgroundTask:
    """Notifies the workers once the answer is out: a broker that hangs delays nobody; a sweep sends what is missing."""
    return BackgroundTask(services.notify, list(job_ids))


def also(status: int, description: str, model: type[BaseModel] | None = None) -> dict[int | str, dict[str, Any]]:
    """One more response for the contract."""
    return {status: {"description": description} | ({"model": model} if model else {})}


def pictured(others: dict[str, Any] | None = None) -> dict[int | str, dict[str, Any]]:
    """The answer of an endpoint that draws, for the contract."""
    binary = {"schema": {"type": "string", "format": "binary"}}
    return {200: {"content": {"image/svg+xml": binary, "image/png": binary, **(others or {})}}}
