"""Events of a job: numbered without gaps, filtered by type and level."""

import pytest

from service.store import events
from tests.service.conftest import Harness


def test_event_numbers_have_no_gaps_whatever_rolls_back(harness: Harness) -> None:
    job_id = harness.submit()

    def roll_back() -> None:
        with harness.store.begin() as session:
            events.append(session, job_id, [events.NewEvent("log", {"message": "lost"})] * 3)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        roll_back()
    with harness.store.begin() as session:
        events.append(session, job_id, [events.NewEvent("log", {"message": str(n)}, "info") for n in range(3)])
    with harness.store.read() as session:
        rows = events.after(session, job_id, 0)
        assert [event.seq for event in rows] == list(range(1, len(rows) + 1))
        assert [event.data["message"] for event in events.after(session, job_id, 1)] == ["0", "1", "2"]
        assert [event.seq for event in events.after(session, job_id, 1, 2)] == [2, 3]
        assert [event.time.utcoffset() is not None for event in rows] == [True] * 4


def test_events_are_filtered_by_type_and_level(harness: Harness) -> None:
    job_id = harness.submit()
    with harness.store.begin() as session:
        events.append(
            session, job_id, [events.NewEvent("log", {"message": level}, level) for level in ("info", "error")]
        )
    with harness.store.read() as session:
        assert [event.type for event in events.after(session, job_id, 0, type="state")] == ["state"]
        assert [event.level for event in events.after(session, job_id, 0, levels=["error"])] == ["error"]
