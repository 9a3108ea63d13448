"""Delays after wrong keys, kept in the database so that every API process knows of them.

Whoever sends a wrong key is not slowed at first; then each further one doubles the time for which that address is
refused. A key of which many addresses send wrong secrets is refused to those only: the right key always opens from an
address of its own.
"""

import ipaddress
from datetime import timedelta

from sqlalchemy import case, delete
from sqlalchemy.orm import Session

from service.store.session import now, upsert
from service.store.tables import ThrottleRow

FREE_FAILURES = 5
LONGEST_DELAY_SECONDS = 60.0
FORGOTTEN = timedelta(minutes=15)
"""Time after a delay's end at which its failures no longer count."""


def of_address(address: str) -> str:
    """The subject of a client's address; of an IPv6 address, its network: whoever has one address has 2^64."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return f"address:{address[:60]}"
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is None:
        return f"address:{ipaddress.ip_network((parsed, 64), strict=False)}"
    return f"address:{getattr(parsed, 'ipv4_mapped', None) or parsed}"


def of_key(key_id: str) -> str:
    """The subject of a key."""
    return f"key:{key_id}"


def delay_seconds(session: Session, subject: str) -> float:
    """For how long requests of this subject are still refused; 0 or less when they are not."""
    row = session.get(ThrottleRow, subject)
    return (row.until - now(session)).total_seconds() if row else 0.0


def note_failure(session: Session, subject: str) -> None:
    """Counts one more wrong key, and refuses the subject from now on for as long as the count says."""
    time = now(session)
    failure = upsert(session, ThrottleRow).values(subject=subject, failures=1, until=time)
    is_forgotten = ThrottleRow.until < time - FORGOTTEN
    failure = failure.on_conflict_do_update(
        index_elements=["subject"], set_={"failures": case((is_forgotten, 1), else_=ThrottleRow.failures + 1)}
    )
    row = session.execute(failure.returning(ThrottleRow), execution_options={"populate_existing": True}).scalar_one()
    row.until = max(row.until, time + timedelta(seconds=_delay_after(row.failures)))


def delete_forgotten(session: Session) -> None:
    """Deletes what no longer counts."""
    session.execute(delete(ThrottleRow).where(ThrottleRow.until < now(session) - FORGOTTEN))


def _delay_after(failures: int) -> float:
    if failures <= FREE_FAILURES:
        return 0.0
    return min(2.0 ** min(failures - FREE_FAILURES - 1, 30), LONGEST_DELAY_SECONDS)
