"""The first answers to requests with an `Idempotency-Key`, kept for a day."""

import hashlib
from datetime import timedelta
from typing import Any

from sqlalchemy import delete
from sqlalchemy.orm import Session

from service.errors import InvalidRequestError
from service.store.session import now
from service.store.tables import IdempotencyRow

KEPT = timedelta(days=1)


def get(session: Session, owner: str, key: str, body: bytes) -> IdempotencyRow | None:
    """The first answer to this key; InvalidRequestError for another body. Call it in a transaction that writes."""
    row = session.get(IdempotencyRow, (owner, key))
    if row is None:
        return None
    if row.body_sha256 != hashlib.sha256(body).hexdigest():
        raise InvalidRequestError("this Idempotency-Key was used with another body; use a new key for a new request")
    return row


def put(
    session: Session, owner: str, key: str, body: bytes, status: int, answer: dict[str, Any], headers: dict[str, str]
) -> None:
    """Keeps an answer, in the transaction that made what it reports: both exist, or neither."""
    digest = hashlib.sha256(body).hexdigest()
    session.add(
        IdempotencyRow(
            owner=owner,
            key=key,
            body_sha256=digest,
            status=status,
            answer=answer,
            headers=dict(headers),
            created_at=now(session),
        )
    )
    session.flush()


def delete_expired(session: Session) -> None:
    """Deletes answers older than a day."""
    session.execute(delete(IdempotencyRow).where(IdempotencyRow.created_at < now(session) - KEPT))
