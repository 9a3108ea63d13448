"""`Idempotency-Key` over HTTP: its header, and the answers to the POSTs that take it."""

from collections.abc import Callable, Sequence
from typing import Annotated

from fastapi import Header
from pydantic import BaseModel
from sqlalchemy.orm import Session
from starlette.responses import Response

from service.access.identities import Identity
from service.api.deps import Services, notifying
from service.jobs.idempotency import Answer, answer_once
from service.reports.dataset import DatasetReport
from service.reports.job import JobReport

IdempotencyKey = Annotated[
    str | None,
    Header(min_length=1, max_length=200, description="Makes the request safe to repeat for a day."),
]
Created = tuple[JobReport | DatasetReport, Sequence[str]]
"""What a POST created, and the ids of jobs that can start now."""
Prepare = Callable[[Session], Callable[[Session], Created]]
"""Judges a request in a session that only reads; what it returns creates, in a transaction."""


def create_once(
    services: Services,
    caller: Identity,
    key: str | None,
    request: BaseModel | str,
    prepare: Callable[[Session], Callable[[Session], Created]],
) -> Response:
    """Answers with the report of what was created, or gives the answer that this key got before."""

    def answer(session: Session) -> Callable[[Session], Answer]:
        create = prepare(session)
        return lambda writing: _answer(*create(writing))

    body = (request if isinstance(request, str) else request.model_dump_json()).encode()
    given = answer_once(services.store, key, body, answer, caller.name)
    return Response(
        given.body,
        status_code=given.status,
        media_type="application/json",
        headers=given.headers | ({"Idempotency-Replayed": "true"} if given.is_repeated else {}),
        background=notifying(services, given.startable),
    )


def _answer(report: JobReport | DatasetReport, startable: Sequence[str]) -> Answer:
    collection = "datasets" if isinstance(report, DatasetReport) else "jobs"
    headers = {"Location": f"/v1/{collection}/{report.id}"}
    return Answer(report.model_dump_json(), 202, headers, startable)
