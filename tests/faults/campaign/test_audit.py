"""The campaign's judgement of what a job left: each kind of loss is seen, and nothing else."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest

from tests.faults.campaign import audit
from tests.faults.campaign.audit import Resumes
from tests.faults.campaign.outcome import Outcome, compare

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Recorded:
    """An event without a database."""

    seq: int
    type: str
    data: dict[str, object] = field(default_factory=dict)

    @property
    def time(self) -> datetime:
        """One second after the one before."""
        return BEGIN + timedelta(seconds=self.seq)


def history(*events: tuple[str, dict[str, object]]) -> list[Recorded]:
    """Events numbered from 1."""
    return [Recorded(number, type, data) for number, (type, data) in enumerate(events, start=1)]


def state(name: str) -> tuple[str, dict[str, object]]:
    return "state", {"state": name}


CHECKPOINT = ("checkpoint", {"role": "last", "step": 40})
WHOLE = history(
    state("queued"), state("running"), CHECKPOINT, state("queued"), state("running"), ("resumed", {"step": 40}),
    ("metric", {}), state("succeeded"), ("end", {}),
)  # fmt: skip


def test_a_whole_record_has_no_fault() -> None:
    assert list(audit.faults_of_events(WHOLE, 10)) == []


@pytest.mark.parametrize(
    ("events", "next_seq", "what"),
    [
        ([event for event in WHOLE if event.seq != 3], 10, "event numbers"),
        (WHOLE, 11, "event numbers"),
        (WHOLE[1:], 10, "the first state"),
        (history(state("queued"), state("succeeded"), ("end", {})), 4, "from queued to succeeded"),
        (WHOLE[:-1], 9, "`end`"),
        ([*WHOLE, replace(WHOLE[-1], seq=10)], 11, "`end`"),
    ],
)
def test_a_fault_of_a_record_is_named(events: list[Recorded], next_seq: int, what: str) -> None:
    assert what in " ".join(audit.faults_of_events(events, next_seq))


def test_an_attempt_goes_on_from_the_newest_checkpoint_or_from_the_start() -> None:
    assert audit.resumes(WHOLE) == Resumes(1, 0)
    assert audit.resumes([event for event in WHOLE if event.type != "resumed"]) == Resumes(0, 1)
    assert audit.resumes([replace(event, data={"step": 1}) if event.seq == 6 else event for event in WHOLE]) == Resumes(
        0, 1
    )
    assert audit.resumes([event for event in WHOLE if event.type not in ("checkpoint", "resumed")]) == Resumes(0, 0)


def test_recovery_lasts_to_the_first_work_of_the_next_attempt() -> None:
    assert audit.recovered_after(WHOLE, WHOLE[2].time) == 3.0
    assert audit.recovered_after(WHOLE, WHOLE[0].time) is None  # it did not run then


def test_lost_doubled_and_changed_points_are_told_apart() -> None:
    undisturbed = Outcome("succeeded", {"loss": [(1, 0.5), (2, float("nan"))]}, {"model": ["a"]})
    same = compare(undisturbed, replace(undisturbed))
    assert (same.points_lost, same.points_doubled, same.unequal) == (0, 0, [])
    lost = compare(undisturbed, replace(undisturbed, points={"loss": [(1, 0.5)]}))
    assert (lost.points_lost, lost.points_doubled, lost.unequal) == (1, 0, ["series loss"])
    twice = compare(undisturbed, replace(undisturbed, points={"loss": [(1, 0.5), (2, float("nan")), (2, 0.1)]}))
    assert (twice.points_lost, twice.points_doubled) == (0, 1)
    assert compare(undisturbed, replace(undisturbed, points={})).points_lost == 2
    assert compare(undisturbed, replace(undisturbed, state="failed", numbers={})).unequal == ["state", "model"]
