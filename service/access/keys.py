"""API keys: `tw_<8 characters: the id>_<43 characters: the secret>`; only the secret's SHA-256 is stored."""

import hashlib
import hmac
import secrets
from typing import get_args

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from service.errors import AuthError, ConflictError, NotFoundError, WrongKeyError
from service.specs.requests import KeyScope
from service.store.session import now
from service.store.tables import KeyRow

SCOPES: tuple[KeyScope, ...] = get_args(KeyScope)


def digest(secret: str) -> str:
    """What is stored of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


def create(session: Session, name: str, scope: KeyScope) -> tuple[KeyRow, str]:
    """A new key; its text is returned this once and cannot be had again. ConflictError when a key has had the name."""
    key_id, secret = secrets.token_hex(4), secrets.token_urlsafe(32)
    row = KeyRow(id=key_id, name=name, scope=scope, sha256=digest(secret), created_at=now(session))
    session.add(row)
    try:
        session.flush()
    except IntegrityError as error:
        raise ConflictError(f"a key named `{name}` exists or was revoked; names are not given twice") from error
    return row, f"tw_{key_id}_{secret}"


def check(session: Session, text: str) -> KeyRow:
    """The key that this is the text of.

    Raises WrongKeyError when it is malformed, unknown or wrong, AuthError when it was revoked.
    """
    prefix, _, rest = text.partition("_")
    key_id, _, secret = rest.partition("_")
    row = session.get(KeyRow, key_id) if prefix == "tw" and len(key_id) == 8 else None
    stored = row.sha256 if row else digest("")
    right = hmac.compare_digest(stored, digest(secret))
    if row is None or not right:
        raise WrongKeyError("the API key is not valid; send `Authorization: Bearer tw_...`", row.id if row else None)
    if row.revoked_at is not None:
        raise AuthError("the API key was revoked")
    return row


def revoke(session: Session, key_id: str) -> KeyRow:
    """Makes a key useless from now on."""
    row = session.get(KeyRow, key_id)
    if row is None:
        raise NotFoundError(f"no key has the id `{key_id}`")
    row.revoked_at = row.revoked_at or now(session)
    session.flush()
    return row


def listed(session: Session) -> list[KeyRow]:
    """Every key, the oldest first."""
    return list(session.execute(select(KeyRow).order_by(KeyRow.created_at)).scalars())
