"""What a run concludes: one report a kind."""

from typing import Any, Literal

from service.reports.classification import ClassificationReport, ConfusionReport
from service.reports.environment import EnvironmentReport
from service.reports.part import ReportPart
from service.states import StopReason


class Parameters(ReportPart):
    """Sizes of a model."""

    total: int
    trainable: int


class Check(ReportPart):
    """One point of the check-up before the first step."""

    name: str
    passed: bool
    detail: str
    """What was found, in plain words with the numbers."""


class CheckupReport(ReportPart):
    """The model and its first batch, looked at before the first step."""

    parameters: Parameters
    checks: list[Check]
    statistics: dict[str, float | str | list[int] | list[float]] = {}


class TrainResult(ReportPart):
    """How a training ended."""

    stop_reason: StopReason
    epochs: int
    steps: int
    best_epoch: int
    best: dict[str, float]
    """Metrics of the best epoch, by bare name: `loss` and `accuracy` of val."""
    test: dict[str, float]
    parameters: Parameters
    batch_size: int | None = None
    """Trained with, where the spec says `auto` or names another job."""
    lr: float | None = None
    """Full learning rate trained with, where the spec names another job."""
    seconds: float
    samples_per_second: float
    resume: Literal["exact", "approximate"] = "exact"
    notes: list[str] = []


class LrPoint(ReportPart):
    """One step of the sweep."""

    lr: float
    loss: float | None
    """Null where the loss was not measured: it is looked at every few steps."""
    smoothed: float | None
    """The curve that is read; null from where the loss has risen on."""


class LrCurve(ReportPart):
    """The learning-rate range test."""

    points: list[LrPoint]
    suggested: float
    steepest: float | None
    """Where the smoothed curve falls fastest over log lr."""
    minimum_over_ten: float | None
    quality: Literal["good", "weak", "none"]
    reason: str
    rule: str
    param_groups: int = 1


class SanityReport(ReportPart):
    """Could the model overfit one batch?"""

    passed: bool
    accuracy: float
    """In train mode, after the last step."""
    eval_accuracy: float
    batch_size: int | None = None
    """Samples of the batch that was used."""
    initial_loss: float
    final_loss: float
    steps: int
    lr: float
    loss_per_step: list[float | None]
    accuracy_per_step: list[float]
    causes: list[str] = []
    """Likely causes of a failure, the likeliest first."""
    notes: list[str] = []
    attempts: list[dict[str, float]] = []
    """lr and accuracy of each learning rate that was tried."""


class BatchSizeRow(ReportPart):
    """One batch size that was tried."""

    batch_size: int
    fits: bool
    peak_memory_bytes: int | None
    samples_per_second: float | None
    reason: str | None = None


class BatchSizeReport(ReportPart):
    """Which batch size to use."""

    table: list[BatchSizeRow]
    recommended: int
    largest: int
    lr: float
    """The learning rate for `recommended`, scaled from the spec's."""
    lr_rule: Literal["linear", "square-root"]
    reason: str


class Trial(ReportPart):
    """One trial of a search."""

    number: int
    state: Literal["running", "complete", "pruned", "failed", "waiting"]
    params: dict[str, Any]
    value: float | None
    duration_seconds: float | None
    reason: str | None = None
    runner: str | None = None
    """Who ran it: `main` is the job's own process, `runner-2` and so on those beside it."""


class Importances(ReportPart):
    """Each parameter's share in a search that still runs."""

    data: dict[str, float]


class TuneReport(ReportPart):
    """A search's outcome."""

    metric: str
    data: list[Trial]
    best: Trial | None
    best_result: TrainResult | None = None
    """Of the best trial, once the search is over: its epochs, check-up and reports are the job's own then."""
    importances: dict[str, float]
    notes: list[str] = []


Report = (
    EnvironmentReport
    | ClassificationReport
    | ConfusionReport
    | CheckupReport
    | TrainResult
    | LrCurve
    | SanityReport
    | BatchSizeReport
    | Trial
    | Importances
    | TuneReport
)
