"""API keys: a key opens until it is revoked; its secret is not stored."""

import json

import pytest
import sqlalchemy as sa

from service.access import keys
from service.errors import AuthError, ConflictError, NotFoundError
from service.store.session import Store
from service.store.tables import KeyRow


def test_key_opens_until_it_is_revoked(store: Store) -> None:
    with store.begin() as session:
        row, text = keys.create(session, "notebook", "train")
    prefix, key_id, secret = text.split("_", 2)
    assert (prefix, key_id, len(key_id), len(secret)) == ("tw", row.id, 8, 43)
    with store.read() as session:
        assert keys.check(session, text).scope == "train"
    with store.begin() as session:
        keys.revoke(session, row.id)
    with store.read() as session, pytest.raises(AuthError):
        keys.check(session, text)


def test_a_name_is_given_once_for_ever(store: Store) -> None:
    with store.begin() as session:
        row, _ = keys.create(session, "notebook", "train")
        keys.revoke(session, row.id)
    with store.begin() as session, pytest.raises(ConflictError, match="notebook"), session.begin_nested():
        keys.create(session, "notebook", "read")


def test_secret_is_not_stored(store: Store) -> None:
    with store.begin() as session:
        _, text = keys.create(session, "notebook", "read")
    with store.read() as session:
        columns = session.execute(sa.select(KeyRow.__table__)).one()
    assert text.split("_", 2)[2] not in json.dumps([str(column) for column in columns])


@pytest.mark.parametrize("spoil", ["tw_{id}_wrong", "tw_00000000_{secret}", "xx_{id}_{secret}", "", "tw__", "tw_{id}_"])
def test_wrong_key_does_not_open(store: Store, spoil: str) -> None:
    with store.begin() as session:
        row, text = keys.create(session, "notebook", "admin")
    wrong = spoil.format(id=row.id, secret=text.split("_", 2)[2])
    with store.read() as session, pytest.raises(AuthError):
        keys.check(session, wrong)


def test_unknown_key_cannot_be_revoked(store: Store) -> None:
    with store.begin() as session, pytest.raises(NotFoundError):
        keys.revoke(session, "00000000")


def test_keys_are_listed_by_age(store: Store) -> None:
    with store.begin() as session:
        made = [keys.create(session, name, "read")[0].id for name in ("a", "b")]
    with store.read() as session:
        assert [row.id for row in keys.listed(session)] == made
