"""The diagnosis of a run while it runs: findings are told once, withdrawn, and may end the run."""

import math
from collections.abc import Sequence

from service.events import EpochRecord, Event, Log, Reported, StepRecord
from service.jobs import completion, diagnose
from service.reports.names import ReportName
from service.reports.result import Parameters, TrainResult
from service.specs import JOB_SPEC
from service.specs.train import TrainSpec
from service.states import StopReason
from service.store import attempts, events, jobs
from service.store.attempts import Fence
from service.store.session import Store
from worker.attempt.recorder import Recorder
from worker.attempt.stop_on_finding import StopOnFinding

STEPS = 20
RESULT = TrainResult(
    stop_reason=StopReason.FINDING,
    epochs=1,
    steps=20,
    best_epoch=1,
    best={},
    test={},
    parameters=Parameters(total=1, trainable=1),
    seconds=1.0,
    samples_per_second=1.0,
    resume="exact",
)


def submit(store: Store, **fields: object) -> str:
    spec = JOB_SPEC.validate_python({"kind": "train", "dataset": "digits", "model": {"family": "mlp"}} | fields)
    with store.begin() as session:
        return jobs.create(session, spec).id


def claim(store: Store, job_id: str) -> Fence:
    with store.begin() as session:
        claimed = attempts.claim(session, job_id, "worker", 60)
    assert claimed is not None
    return claimed.fence


def epoch(number: int, train: float, val: float, accuracy: tuple[float, float] = (0.9, 0.85)) -> list[Event]:
    """Twenty steps and their epoch."""
    first = STEPS * (number - 1) + 1
    steps: list[Event] = [
        StepRecord(
            step, number, {"train/loss": train, "lr/group0": 1e-3, "grad_norm/total": 1.0, "grad/0.weight/norm": 0.5}
        )
        for step in range(first, first + STEPS)
    ]
    probes = {"clean_loss": train, "clean_accuracy": accuracy[0], "val_pipeline_loss": train}
    numbers = {"loss": train, "accuracy": accuracy[0]}
    return [
        *steps,
        EpochRecord(number, STEPS * number, numbers, {"loss": val, "accuracy": accuracy[1]}, 1e-3, 0.1, False, probes),
    ]


def record(recorder: Recorder, happened: Sequence[Event]) -> None:
    for event in happened:
        recorder.add(event)
    recorder.flush()


def told(store: Store, job_id: str) -> list[tuple[str, str]]:
    with store.read() as session:
        page = events.after(session, job_id, 0, 1000)
    return [(event.data["rule"], event.data["change"]) for event in page if event.type == "finding"]


OVERFITTING = [(0.8, 0.9), (0.4, 0.7), (0.2, 0.62), (0.1, 0.66), (0.05, 0.72), (0.03, 0.78), (0.02, 0.85), (0.01, 0.95)]


def test_findings_are_told_as_the_run_goes_and_once_each(store: Store) -> None:
    job = submit(store, early_stopping=None)
    recorder = Recorder(store, claim(store, job))
    for number, (train, val) in enumerate(OVERFITTING, start=1):
        record(recorder, epoch(number, train, val, (0.99, 0.8)))
    assert told(store, job) == [("D5", "found"), ("D6", "found"), ("D5", "withdrawn")]
    with store.read() as session:
        report = diagnose.report(session, job)
    assert report.verdict == "findings"
    assert [(each.rule, each.active) for each in report.data] == [("D6", True), ("D5", False)]
    assert report.data[0].history[0]["change"] == "found"


def test_a_second_attempt_goes_on_from_what_the_first_recorded(store: Store) -> None:
    job = submit(store, early_stopping=None)
    recorder = Recorder(store, claim(store, job))
    for number, (train, val) in enumerate(OVERFITTING[:6], start=1):
        record(recorder, epoch(number, train, val, (0.99, 0.8)))
    with store.begin() as session:
        completion.requeue(session, recorder.fence, lost=True)
    again = Recorder(store, claim(store, job))
    for number, (train, val) in enumerate(OVERFITTING[6:], start=7):
        record(again, epoch(number, train, val, (0.99, 0.8)))
    assert told(store, job) == [("D5", "found"), ("D6", "found"), ("D5", "withdrawn")]


def test_a_loss_that_is_not_a_number_is_told_without_an_epoch(store: Store) -> None:
    job = submit(store)
    record(
        Recorder(store, claim(store, job)),
        [StepRecord(1, 1, {"train/loss": 2.3}), StepRecord(2, 1, {"train/loss": math.nan})],
    )
    assert told(store, job) == [("D1", "found")]


def test_a_hopeless_run_is_asked_to_end_only_when_the_spec_says_so() -> None:
    collapsed: list[Event] = []
    for number in range(1, 5):
        for event in epoch(number, 2.3, 2.3, (0.1, 0.1)):
            alive = 0.5 if number == 1 else 0.0
            silent = {"grad/0.weight/norm": alive, "grad/3.weight/norm": alive}
            collapsed.append(
                StepRecord(event.step, event.epoch, event.values | silent) if isinstance(event, StepRecord) else event
            )
    for on_finding, expected in (("stop", StopReason.FINDING), ("continue", None)):
        stop = StopOnFinding(
            TrainSpec.model_validate({"kind": "train", "dataset": "digits", "on_finding": on_finding}), lambda: None
        )
        forwarded = [sent for event in collapsed for sent in stop.forward(event)]
        assert stop.reason() is expected
        lines = [event.message.split(":")[0] for event in forwarded if isinstance(event, Log)]
        assert lines == (["stopped by finding D10"] if expected else [])
        assert [event for event in forwarded if not isinstance(event, Log)] == collapsed


def test_the_result_of_a_stopped_run_names_the_finding() -> None:
    spec = TrainSpec.model_validate({"kind": "train", "dataset": "digits", "on_finding": "stop"})
    stop = StopOnFinding(spec, lambda: None)
    number = EpochRecord(1, 20, {"loss": math.nan}, {"loss": 1.0}, 1e-3, 0.1, False)
    assert len(list(stop.forward(number))) == 2
    (told,) = stop.forward(Reported(ReportName.RESULT, RESULT))
    assert isinstance(told, Reported)
    assert isinstance(told.report, TrainResult)
    assert told.report.notes[0].startswith("stopped by finding D1: ")
