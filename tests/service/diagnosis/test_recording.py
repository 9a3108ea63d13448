"""A record grows with the events of a run, forgets what a resume voids, and stays small."""

import math

from service.diagnosis.record import FIRST_POINTS, LAST_POINTS
from service.diagnosis.recording import Recording
from service.events import EpochRecord, Phase, Reported, Resumed, StepRecord, Stopped
from service.reports.names import ReportName
from service.reports.result import CheckupReport, Parameters
from service.specs.train import TrainSpec
from service.states import StopReason

SPEC = TrainSpec(kind="train", dataset="digits")


def epoch(number: int, step: int) -> EpochRecord:
    return EpochRecord(epoch=number, step=step, train={"loss": 1.0}, val={"loss": 1.1}, lr=1e-3, seconds=0.1)


def test_events_become_a_record() -> None:
    recording = Recording(SPEC)
    checkup = CheckupReport(parameters=Parameters(total=1, trainable=1), checks=[])
    for event in (
        Phase("training"),
        Reported(ReportName.CHECKUP, checkup),
        StepRecord(1, 1, {"train/loss": 2.3}),
        StepRecord(2, 1, {"train/loss": 2.2}),
        epoch(1, 2),
    ):
        recording.add(event)
    record = recording.record()
    assert record.points("train/loss").values == (2.3, 2.2)
    assert record.checkup is checkup
    assert record.curve("val", "loss") == [1.1]
    assert not record.ended
    recording.add(Stopped(StopReason.COMPLETED))
    assert recording.record().ended


def test_a_resume_voids_what_came_after_the_checkpoint() -> None:
    recording = Recording(SPEC)
    for step in range(1, 7):
        recording.add(StepRecord(step, 1 + (step - 1) // 2, {"train/loss": math.nan if step == 6 else 1.0}))
        if step % 2 == 0:
            recording.add(epoch(step // 2, step))
    recording.add(Resumed(step=3, epoch=2, exact=True))
    record = recording.record()
    assert record.points("train/loss").steps == (1, 2, 3)
    assert [each.number for each in record.epochs] == [1]
    assert record.points("train/loss").first_nonfinite() is None


def test_a_recording_goes_on_from_a_record() -> None:
    first = Recording(SPEC)
    for event in (StepRecord(1, 1, {"train/loss": 2.3}), epoch(1, 1)):
        first.add(event)
    second = Recording.of(first.record())
    second.add(StepRecord(2, 2, {"train/loss": 2.2}))
    assert second.record().points("train/loss").values == (2.3, 2.2)
    assert [each.number for each in second.record().epochs] == [1]


def test_a_long_series_keeps_its_head_its_tail_and_its_first_nan() -> None:
    recording = Recording(SPEC)
    for step in range(1, 5001):
        recording.add(StepRecord(step, 1, {"train/loss": math.nan if step == 1000 else 1.0}))
    series = recording.record().points("train/loss")
    assert len(series) == FIRST_POINTS + LAST_POINTS + 1
    assert series.first_nonfinite() == 1000
    assert series.steps == tuple(sorted(series.steps))
