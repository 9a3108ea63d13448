"""What every endpoint needs, made once by `create_app` and handed over explicitly."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Path, Query, Request
from starlette.background import BackgroundTask

from service.api.http.sse import Tails
from service.api.middleware.request_context import RequestStatistics
from service.reports.part import CURSOR
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
    parts: Services = request.app.state.services
    return parts


ServicesDep = Annotated[Services, Depends(services)]
JobId = Annotated[str, Path(max_length=100, description="Id of a job.")]
DatasetKey = Annotated[str, Path(max_length=100, description="Id or name of a dataset.")]
Owner = Annotated[str | None, Query(max_length=200, description="Name of the key that it belongs to.")]
Limit = Annotated[int, Query(ge=1, le=500, description="Items of a page.")]
Cursor = Annotated[str | None, Query(pattern=CURSOR, description="`next_cursor` of the page before.")]


def notifying(services: Services, job_ids: Iterable[str]) -> BackgroundTask:
    """Notifies the workers once the answer is out: a broker that hangs delays nobody; a sweep sends what is missing."""
    return BackgroundTask(services.notify, list(job_ids))


def separated(values: Iterable[str]) -> list[str]:
    """The parts of a query parameter that may be given several times or comma-separated."""
    return [part for value in values for part in value.split(",") if part]
