"""`Idempotency-Key`: the first answer to a POST, given again to the same request."""

import hashlib
from datetime import timedelta
from typing import Any

from sqlalchemy import delete
from sqlalchemy.orm import Session

from service.errors import InvalidRequestError
from service.store.session import now
from service.store.tables import IdempotencyRow

KEPT = timedelta(days=1)


def recall(session: Session, owner: str, key: str, body: bytes) -> IdempotencyRow | None:
    """The first answer to this key; InvalidRequestError when the body is another one. Call it where you write."""
    row = session.get(IdempotencyRow, (owner, key))
    if row is None:
        return None
    if row.body_sha256 != hashlib.sha256(body).hexdigest():
        raise InvalidRequestError("this Idempotency-Key was used with another body; use a new key for a new request")
    return row


def remember(
    session: Session, owner: str, key: str, body: bytes, status: int, answer: dict[str, Any], headers: dict[str, str]
) -> None:
    """Keeps an answer; in the same transaction as what it reports, so that both or neither exist."""
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


def forget_old(session: Session) -> None:
    """Drops answers older than a day."""
    session.execute(delete(IdempotencyRow).where(IdempotencyRow.created_at < now(session) - KEPT))
