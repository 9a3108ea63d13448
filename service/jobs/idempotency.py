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
from service.store.session import Store, actor_of, now
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


Prepare = Callable[[Session], Callable[[Session], Answer]]
"""Judges a request in a session that only reads; what it returns creates, in a transaction."""


def answer_once(store: Store, key: str | None, request: bytes, prepare: Prepare, actor: str | None = None) -> Answer:
    """Creates something in one transaction, or returns the answer that this key of that actor's got before.

    `prepare` judges the request in a session that only reads, and returns what writes: nobody waits for a judgement to
    write. `request` is what must be the same. Of two requests that race for one key or name, the later one collides (in
    the database, or by seeing what was not there a moment ago); it starts again and finds what the earlier one made.
    """
    try:
        return _answer(store, key, request, prepare, actor)
    except (IntegrityError, ConflictError):
        return _answer(store, key, request, prepare, actor)


def delete_expired(session: Session) -> None:
    """Deletes answers older than a day."""
    session.execute(delete(IdempotencyRow).where(IdempotencyRow.created_at < now(session) - KEPT))


def _answer(store: Store, key: str | None, request: bytes, prepare: Prepare, actor: str | None) -> Answer:
    digest = hashlib.sha256(request).hexdigest()
    with store.read() as session:
        if first := _first(session, actor, key, digest):
            return first
        create = prepare(session)
    with store.begin(actor) as session:
        if first := _first(session, actor, key, digest):
            return first
        made = create(session)
        if key is not None:
            _keep(session, key, digest, made)
        return made


def _first(session: Session, actor: str | None, key: str | None, digest: str) -> Answer | None:
    """The answer that this key got before, if any."""
    first = session.get(IdempotencyRow, (actor or "", key)) if key is not None else None
    if first is None:
        return None
    if first.body_sha256 != digest:
        raise InvalidRequestError("this Idempotency-Key was used with another body; use a new key for a new request")
    return Answer(json.dumps(first.answer), first.status, first.headers, is_repeated=True)


def _keep(session: Session, key: str, digest: str, answer: Answer) -> None:
    """Keeps an answer in the transaction that made what it reports: both exist, or neither."""
    row = IdempotencyRow(
        owner=actor_of(session) or "",
        key=key,
        body_sha256=digest,
        status=answer.status,
        answer=json.loads(answer.body),
        headers=answer.headers,
        created_at=now(session),
    )
    session.add(row)
    session.flush()
