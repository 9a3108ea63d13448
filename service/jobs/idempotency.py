"""`Idempotency-Key`: a POST that is sent again gets the first answer again, and nothing happens twice."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Header
from pydantic import BaseModel
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session
from starlette.responses import JSONResponse, Response

from service.api.deps import Services, answer, notifying
from service.errors import ConflictError
from service.reports.dataset import DatasetReport
from service.reports.job import JobReport
from service.store import idempotency

IdempotencyKey = Annotated[
    str | None,
    Header(min_length=1, max_length=200, description="Makes the request safe to repeat for a day."),
]


@dataclass(frozen=True)
class Made:
    """What a POST made."""

    report: JobReport | DatasetReport
    location: str
    startable: Iterable[str] = field(default=())
    """Ids of jobs that workers are notified of: they can start now."""
    status: int = 202


def once(services: Services, key: str | None, request: BaseModel | str, make: Callable[[Session], Made]) -> Response:
    """Runs `make` in one transaction, or gives the answer that this key got before.

    `request` is what must be the same. Of two requests that race for one key or name, the later one collides (in the
    database, or by seeing what was not there a moment ago); it starts again and finds what the earlier one made.
    """
    try:
        return _once(services, key, request, make)
    except (IntegrityError, ConflictError):
        return _once(services, key, request, make)


def _once(services: Services, key: str | None, request: BaseModel | str, make: Callable[[Session], Made]) -> Response:
    body = (request if isinstance(request, str) else request.model_dump_json()).encode()
    with services.store.begin() as session:
        if key is not None and (earlier := idempotency.recall(session, key, body)):
            headers = {**earlier.headers, "Idempotency-Replayed": "true"}
            return JSONResponse(earlier.answer, status_code=earlier.status, headers=headers)
        made = make(session)
        headers = {"Location": made.location}
        if key is not None:
            data = made.report.model_dump(mode="json")
            idempotency.remember(session, key, body, made.status, data, headers)
    return answer(made.report, made.status, headers, notifying(services, made.startable))
