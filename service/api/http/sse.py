"""Live events: any number of open streams share one query for what is new, and hold neither session nor thread."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool

from service.reports.job import EventReport
from service.states import JobState, is_terminal

log = logging.getLogger(__name__)

POLL_SECONDS = 0.25
KEEP_ALIVE_SECONDS = 15.0
RETRY_MILLISECONDS = 2000

Latest = Callable[[Sequence[str]], Mapping[str, int]]
"""Job ids -> the number of each job's last event."""
ReadPage = Callable[[int], tuple[JobState, list[EventReport]]]
"""Events after a number, with the state that was read before them."""


@dataclass(eq=False)
class _Waiter:
    job_id: str
    after: int
    woken: asyncio.Event = field(default_factory=asyncio.Event)


class Tails:
    """Wakes streams whose job has new events. Lives on the event loop; one poller runs while anyone waits."""

    def __init__(self, latest: Latest) -> None:
        self._latest = latest
        self._waiters: set[_Waiter] = set()
        self._poller: asyncio.Task[None] | None = None

    async def wait(self, job_id: str, after: int, timeout: float) -> bool:
        """Returns True as soon as the job has an event past `after`, False after `timeout` seconds without one."""
        waiter = _Waiter(job_id, after)
        self._waiters.add(waiter)
        if self._poller is None or self._poller.done():
            self._poller = asyncio.create_task(self._poll())
        try:
            await asyncio.wait_for(waiter.woken.wait(), timeout)
        except TimeoutError:
            return False
        finally:
            self._waiters.discard(waiter)
        return True

    async def _poll(self) -> None:
        while self._waiters:
            job_ids = sorted({waiter.job_id for waiter in self._waiters})
            try:
                newest = await run_in_threadpool(self._latest, job_ids)
            except SQLAlchemyError as error:
                log.warning("cannot look for new events: %s", error)
                newest = {}
            for waiter in self._waiters:
                if newest.get(waiter.job_id, 0) > waiter.after:
                    waiter.woken.set()
            await asyncio.sleep(POLL_SECONDS)


async def stream(tails: Tails, job_id: str, read: ReadPage, after: int) -> AsyncIterator[bytes]:
    """Server-sent events of one job from event `after` on, until the job has ended and all is said."""
    yield format_sse_event(retry=RETRY_MILLISECONDS, comment="events of job " + job_id)
    while True:
        state, events = await run_in_threadpool(read, after)
        for event in events:
            yield format_sse_event(data_str=event.model_dump_json(), event=event.type, id=str(event.seq))
            after = event.seq
            if event.type == "end":
                return
        if events:
            continue
        if is_terminal(state):
            yield format_sse_event(data_str=f'{{"state": "{state}", "last": {after}}}', event="end")
            return
        if not await tails.wait(job_id, after, KEEP_ALIVE_SECONDS):
            yield KEEPALIVE_COMMENT
