"""What a finished training leaves: the model file, the reports on val and test, and the result."""

from collections.abc import Iterator

from service.events import Event, Phase, Reported
from service.reports.names import ReportName
from service.reports.result import TrainResult
from service.states import StopReason
from worker.engine.training import run_files
from worker.engine.training.evaluate import classification_report, confusion_report, evaluate_until
from worker.engine.training.optimizers import base_lr
from worker.engine.training.state import TrainingState

CONCLUSIVE = frozenset({StopReason.COMPLETED, StopReason.EARLY_STOPPED, StopReason.FINDING})
"""Reasons to stop after which a training is reported; after the others it may be resumed, or nobody needs it."""


def conclude(run: TrainingState) -> Iterator[Event]:
    """The model file, reports on val and test with the best weights, and the result."""
    yield run_files.save_model(run)
    yield Phase("testing")
    run.model.load_state_dict(dict(run.best.weights))
    test: dict[str, float] = {}
    for split, batches in (("val", run.splits.val), ("test", run.splits.test())):
        if not batches.samples:
            continue
        evaluation = evaluate_until(lambda: _interrupted(run), run.model, batches, run.precision, run.spec.top_k)
        if evaluation is None:
            run.stop_reason = _interrupted(run)
            return
        report = classification_report(evaluation, split, run.meta.classes)
        yield Reported(ReportName.REPORT.of(split), report)
        yield Reported(
            ReportName.CONFUSION.of(split), confusion_report(evaluation, split, run.meta.classes, batches.indices_N)
        )
        if split == "test":
            test = {"loss": evaluation.loss, "accuracy": evaluation.accuracy, "macro_f1": report.macro.f1}
    yield Reported(ReportName.RESULT, _result(run, test))


def _interrupted(run: TrainingState) -> StopReason | None:
    """A reason to give up even the reports (cancelled, paused, drained)."""
    reason = run.context.stop()
    return None if reason in CONCLUSIVE else reason


def _result(run: TrainingState, test: dict[str, float]) -> TrainResult:
    seconds = run.seconds + run.sums.seconds
    samples = (run.epoch - 1) * run.splits.train.samples + run.sums.samples
    return TrainResult(
        stop_reason=run.stop_reason or StopReason.COMPLETED,
        epochs=run.epoch - 1,
        steps=run.step,
        best_epoch=run.best.epoch,
        best=run.best.metrics,
        test=test,
        parameters=run.sizes,
        batch_size=run.splits.batch_size,
        lr=base_lr(run.spec.optimizer),
        seconds=seconds,
        samples_per_second=samples / max(seconds, 1e-9),
        resume="exact" if run.resume_exact and run.precision.device.type == "cpu" else "approximate",
        notes=run.notes,
    )
