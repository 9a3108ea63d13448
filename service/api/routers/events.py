"""What happened: events as JSON pages or as a live stream, and log lines as text."""

from typing import Annotated, get_args

from fastapi import APIRouter, Header, Query, Response
from starlette.responses import PlainTextResponse, StreamingResponse

from service.api.auth import MAY_READ
from service.api.deps import JobId, Services, ServicesDep
from service.api.http.responses import page_answer, within_bounds
from service.api.http.sse import stream
from service.api.http.strict_route import StrictRoute
from service.events import Level
from service.jobs.reports import event_report
from service.reports.job import EventReport
from service.reports.part import Page
from service.states import JobState
from service.store import events, jobs

router = APIRouter(prefix="/jobs/{job_id}", tags=["jobs"], dependencies=MAY_READ, route_class=StrictRoute)
LEVELS: tuple[Level, ...] = get_args(Level)
STREAM_PAGE = 500
After = Annotated[int, Query(ge=0, le=2**31 - 1, description="Number of the last event that is known already.")]


@router.get(
    "/events",
    response_model=Page[EventReport],
    responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
)
def list_events(
    job_id: JobId,
    services: ServicesDep,
    after: After = 0,
    limit: Annotated[int, Query(ge=1, le=5000)] = 1000,
    accept: Annotated[str, Header()] = "application/json",
    last_event_id: Annotated[int | None, Header(ge=0, le=2**31 - 1)] = None,
) -> Response:
    """Events in order. With `Accept: text/event-stream`: live, from after `Last-Event-ID`, until event `end`."""
    if "text/event-stream" in accept:
        return _live(services, job_id, after if last_event_id is None else last_event_id)
    with services.store.read() as session:
        jobs.get(session, job_id)
        rows = events.after(session, job_id, after, limit)
    following = str(rows[-1].seq) if len(rows) == limit else None
    return page_answer([event_report(row) for row in rows], lambda event: str(event.seq), following)


def _live(services: Services, job_id: str, after: int) -> Response:
    def read(known: int) -> tuple[JobState, list[EventReport]]:
        with services.store.read() as session:
            state = JobState(jobs.get(session, job_id).state)
            return state, [event_report(row) for row in events.after(session, job_id, known, STREAM_PAGE)]

    with services.store.read() as session:
        jobs.get(session, job_id)
    return StreamingResponse(
        stream(services.tails, job_id, read, after),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"},
    )


@router.get("/logs", response_class=PlainTextResponse)
def get_logs(
    job_id: JobId,
    services: ServicesDep,
    after: After = 0,
    level: Annotated[Level, Query(description="The least level.")] = "debug",
    limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
) -> Response:
    """Log lines as text, one a line: time, level, message. `X-Last-Event` is the number to go on after."""
    levels = LEVELS[LEVELS.index(level) :]
    with services.store.read() as session:
        jobs.get(session, job_id)
        rows = events.after(session, job_id, after, limit, type="log", levels=levels)
    lines = within_bounds(_line(event_report(row)) for row in rows)
    known = rows[len(lines) - 1].seq if lines else after
    return PlainTextResponse("".join(lines), headers={"X-Last-Event": str(known)})


def _line(event: EventReport) -> str:
    return f"{event.time.isoformat(timespec='seconds')} {event.data.get('level', 'info')} {event.data['message']}\n"
