"""Sessions of browsers: a cookie in place of a key, which ends with the key that opened it.

The cookie is the key's id and a random secret. Stored is the SHA-256 of that secret and the key's own hash: a stolen
table opens nothing, and a key that is revoked, or an admin key that the operator replaced, ends its sessions.
"""

import hashlib
import secrets
from datetime import datetime, timedelta

from sqlalchemy import delete
from sqlalchemy.orm import Session

from service.access import keys
from service.access.identities import FIRST_ADMIN, Identity, identity_of
from service.errors import AuthError
from service.settings import Settings
from service.store.session import now
from service.store.tables import KeyRow, SessionRow

ENDED = "the session has ended; open another with POST /v1/sessions"


def open_for(session: Session, settings: Settings, caller: Identity) -> tuple[str, datetime]:
    """The cookie of a new session for whoever has just shown that key, and when it expires."""
    key_id, secret, time = str(caller.key_id), secrets.token_urlsafe(32), now(session)
    digest = _digest(secret, _key(session, settings, key_id)[1])
    expires_at = time + timedelta(seconds=settings.session_seconds)
    row = SessionRow(sha256=digest, key_id=key_id, created_at=time, expires_at=expires_at)
    session.add(row)
    session.flush()
    return f"{key_id}.{secret}", expires_at


def find(session: Session, settings: Settings, cookie: str) -> tuple[Identity, datetime]:
    """Who opened the session, and when it expires; AuthError when it or its key has ended."""
    key_id, _, secret = cookie.partition(".")
    identity, key_digest = _key(session, settings, key_id)
    row = session.get(SessionRow, _digest(secret, key_digest))
    if row is None or row.expires_at <= now(session):
        raise AuthError(ENDED)
    return identity, row.expires_at


def end(session: Session, settings: Settings, cookie: str) -> None:
    """Ends the session, if it has not ended yet."""
    key_id, _, secret = cookie.partition(".")
    digest = _digest(secret, _key(session, settings, key_id)[1])
    session.execute(delete(SessionRow).where(SessionRow.sha256 == digest))


def delete_expired(session: Session) -> None:
    """Deletes sessions whose time is over."""
    session.execute(delete(SessionRow).where(SessionRow.expires_at < now(session)))


def _key(session: Session, settings: Settings, key_id: str) -> tuple[Identity, str]:
    """Whose key that is, and its hash; AuthError when it is not valid any more."""
    if key_id == FIRST_ADMIN.key_id and settings.admin_key is not None:
        return FIRST_ADMIN, keys.digest(settings.admin_key.get_secret_value())
    row = session.get(KeyRow, key_id)
    if row is None or row.revoked_at is not None:
        raise AuthError(ENDED)
    return identity_of(row), row.sha256


def _digest(secret: str, key_digest: str) -> str:
    return hashlib.sha256(f"{secret}.{key_digest}".encode()).hexdigest()
