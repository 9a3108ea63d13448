"""Wrong keys slow down the address that they come from, in every API process, and nobody else."""

from datetime import timedelta

import pytest
import sqlalchemy as sa

from service.access import keys, throttles
from service.access.identities import identify
from service.errors import AuthError, ThrottledError
from service.settings import Settings
from service.store.session import Store, now
from service.store.tables import ThrottleRow

THEIRS, OURS = "198.51.100.7", "198.51.100.8"


def guess(store: Store, address: str, key: str = "tw_12345678_wrong", times: int = 1) -> list[int]:
    """The statuses of so many wrong keys."""
    statuses = []
    for _ in range(times):
        with pytest.raises((AuthError, ThrottledError)) as refused:
            identify(store, key, address)
        statuses.append(refused.value.status)
    return statuses


def end_delays(store: Store, **ago: float) -> None:
    with store.begin() as session:
        session.execute(sa.update(ThrottleRow).values(until=now(session) - timedelta(**ago)))


def new_key(store: Store) -> str:
    with store.begin() as session:
        return keys.create(session, "alice", "train")[1]


def test_delays_double_up_to_a_minute_and_are_forgotten(store: Store) -> None:
    assert guess(store, THEIRS, times=7) == [401] * 6 + [429]
    delays = []
    for _ in range(8):
        end_delays(store, seconds=1)
        assert guess(store, THEIRS, times=2) == [401, 429]
        with store.read() as session:
            delays.append(round(throttles.delay_seconds(session, throttles.of_address(THEIRS))))
    assert delays == [2, 4, 8, 16, 32, 60, 60, 60]
    end_delays(store, minutes=16)
    assert guess(store, THEIRS, times=3) == [401] * 3
    end_delays(store, minutes=16)
    with store.begin() as session:
        throttles.delete_forgotten(session)
        assert session.execute(sa.select(ThrottleRow)).all() == []


def test_a_right_key_opens_from_every_address_but_the_one_that_guesses(store: Store) -> None:
    key = new_key(store)
    guess(store, THEIRS, key[:-1] + "!", times=10)
    with pytest.raises(ThrottledError, match="try again in"):
        identify(store, key, THEIRS)
    assert identify(store, key, OURS).name == "alice"
    end_delays(store, seconds=1)
    assert identify(store, key, THEIRS).name == "alice"


def test_guesses_at_one_key_are_slowed_wherever_they_come_from(store: Store) -> None:
    wrong = new_key(store)[:-1] + "!"
    statuses = [status for number in range(9) for status in guess(store, f"203.0.113.{number}", wrong)]
    assert statuses == [401] * 6 + [429] * 3
    assert guess(store, OURS) == [401]


def test_processes_share_what_they_know(store: Store, database_url: str) -> None:
    other = Store(Settings(home=store.settings.home, database_url=database_url))
    statuses = [status for both in range(5) for served in (store, other) for status in guess(served, THEIRS)]
    other.close()
    assert statuses == [401] * 6 + [429] * 4


def test_a_revoked_key_is_no_guess(store: Store) -> None:
    key = new_key(store)
    with store.begin() as session:
        keys.revoke(session, key.split("_")[1])
    assert guess(store, THEIRS, key, times=10) == [401] * 10


def test_addresses_of_one_network_of_ipv6_are_one() -> None:
    assert throttles.of_address("2001:db8::1") == throttles.of_address("2001:db8::ffff:1")
    assert throttles.of_address("2001:db8::1") != throttles.of_address("2001:db8:0:1::1")
    assert throttles.of_address("::ffff:192.0.2.1") == throttles.of_address("192.0.2.1") == "address:192.0.2.1"
    assert len(throttles.of_address("x" * 1000)) < 100
