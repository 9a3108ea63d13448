"""Who calls: the name and the scope of a key; and whose things they may change."""

import hmac
from dataclasses import dataclass

from sqlalchemy.orm import Session

from service.access import keys, throttles
from service.errors import ForbiddenError, ThrottledError, WrongKeyError
from service.settings import Settings
from service.specs.requests import KeyScope
from service.states import Actor
from service.store.session import Store
from service.store.tables import KeyRow


@dataclass(frozen=True, slots=True)
class Identity:
    """Who calls, and how far they reach."""

    name: str | None
    """The key's name; None where no keys are asked for."""
    scope: KeyScope
    key_id: str | None = None


ANYONE = Identity(None, "admin")
"""Whoever calls a service that asks for no keys."""
FIRST_ADMIN = Identity(Actor.ADMIN, "admin", Actor.ADMIN)
"""Whoever has the operator's first key."""


def identify(store: Store, text: str, address: str) -> Identity:
    """Whose key the client at this address has sent.

    Raises AuthError when it is malformed, unknown, wrong or revoked, and ThrottledError while the address has to wait.
    """
    from_address = throttles.of_address(address)
    with store.read() as session:
        _refuse_for(throttles.delay_seconds(session, from_address))
        try:
            return _of_key(session, store.settings, text)
        except WrongKeyError as error:
            wrong = error
    subjects = [from_address] + ([throttles.of_key(wrong.key_id)] if wrong.key_id else [])
    with store.begin() as session:
        seconds = max(throttles.delay_seconds(session, subject) for subject in subjects)
        for subject in subjects:
            throttles.note_failure(session, subject)
    _refuse_for(seconds)
    raise wrong


def _refuse_for(seconds: float) -> None:
    if seconds > 0:
        raise ThrottledError(seconds)


def _of_key(session: Session, settings: Settings, text: str) -> Identity:
    first = settings.admin_key
    if first is not None and hmac.compare_digest(first.get_secret_value().encode(), text.encode()):
        return FIRST_ADMIN
    return identity_of(keys.check(session, text))


def identity_of(row: KeyRow) -> Identity:
    """Whoever has this key."""
    return Identity(row.name, next(scope for scope in keys.SCOPES if scope == row.scope), row.id)


def check_scope(caller: Identity, scope: KeyScope) -> None:
    """ForbiddenError when the caller's key does not reach so far."""
    if keys.SCOPES.index(caller.scope) < keys.SCOPES.index(scope):
        raise ForbiddenError(f"This needs a key with the scope `{scope}`; yours has `{caller.scope}`")


def check_owner(caller: Identity, owner: str | None, what: str) -> None:
    """ForbiddenError when it belongs to another and the caller is no admin; without an owner it is the admin's."""
    if caller.scope != "admin" and caller.name != owner:
        raise ForbiddenError(
            f"{what} belongs to `{owner or Actor.ADMIN}`; only that key and keys with the scope `admin` may change it"
        )
