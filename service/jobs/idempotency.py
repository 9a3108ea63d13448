"""Idempotency keys: a request that is sent again gets the first answer again, and nothing happens twice."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import delete
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from service.errors import ConflictError, InvalidRequestError
from service.store.session import Store, now
from service.store.tables import IdempotencyRow

KEPT = timedelta(days=1)


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


def delete_expired(session: Session) -> None:
    """Deletes answers older than a day."""
    session.execute(delete(IdempotencyRow).where(IdempotencyRow.created_at < now(session) - KEPT))


def _answer(store: Store, key: str | None, request: bytes, answer: Callable[[Session], Answer]) -> Answer:
    with store.begin() as session:
        if key is None:
            return answer(session)
        digest = hashlib.sha256(request).hexdigest()
        if first := session.get(IdempotencyRow, ("", key)):
            if first.body_sha256 != digest:
                raise InvalidRequestError(
                    "this Idempotency-Key was used with another body; use a new key for a new request"
                )
            return Answer(json.dumps(first.answer), first.status, first.headers, is_repeated=True)
        made = answer(session)
        _keep(session, key, digest, made)
        return made


def _keep(session: Session, key: str, digest: str, answer: Answer) -> None:
    """Keeps an answer in the transaction that made what it reports: both exist, or neither."""
    row = IdempotencyRow(
        owner="",
        key=key,
        body_sha256=digest,
        status=answer.status,
        answer=json.loads(answer.body),
        headers=answer.headers,
        created_at=now(session),
    )
    session.add(row)
    session.flush()
