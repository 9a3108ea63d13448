"""Idempotency keys: a request that is sent again gets the first answer again, and nothing happens twice."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from service.errors import ConflictError
from service.store import idempotency
from service.store.session import Store


@dataclass(frozen=True)
class Answer:
    """The answer to a request that created something; with a key it is kept for a day."""

    body: str
    """A report as JSON."""
    status: int
    headers: dict[str, str]
    startable: Sequence[str] = ()
    """Ids of jobs that can start now: workers are notified once the transaction has committed."""
    is_repeated: bool = False


def answer_once(store: Store, key: str | None, request: bytes, answer: Callable[[Session], Answer]) -> Answer:
    """Runs `answer` in one transaction, or returns the answer that this key got before.

    `request` is what must be the same. Of two requests that race for one key or name, the later one collides (in the
    database, or by seeing what was not there a moment ago); it starts again and finds what the earlier one made.
    """
    try:
        return _answer(store, key, request, answer)
    except (IntegrityError, ConflictError):
        return _answer(store, key, request, answer)


def _answer(store: Store, key: str | None, request: bytes, answer: Callable[[Session], Answer]) -> Answer:
    with store.begin() as session:
        if key is None:
            return answer(session)
        if first := idempotency.get(session, "", key, request):
            return Answer(json.dumps(first.answer), first.status, first.headers, is_repeated=True)
        made = answer(session)
        idempotency.put(session, "", key, request, made.status, json.loads(made.body), made.headers)
        return made
