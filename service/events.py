"""The typed events that an engine run yields; the recorder stores them and the API streams them.

An engine never says who listens: `for event in run(spec, context): ...`.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from service.reports.dataset import DatasetContent, Profile
from service.reports.names import PartName, ReportName
from service.reports.result import Report
from service.specs.tune import SearchFields
from service.states import StopReason

Level = Literal["debug", "info", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Phase:
    """The run entered a phase: `loading`, `checkup`, `training`, `testing`, `measuring`, `searching`, ..."""

    name: str


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the run is, 0 to 1; `step` of `total_steps` in units of optimizer steps (or files, or trials)."""

    fraction: float
    step: int = 0
    total_steps: int = 0


@dataclass(frozen=True, slots=True)
class StepRecord:
    """Numbers of one optimizer step (`train/loss`, `lr/group0`, `grad_norm/total`, `update_ratio`, ...).

    `step` counts optimizer steps from 1; `epoch` counts from 1. Values may be NaN or infinite. Series by name.
    """

    step: int
    epoch: int
    values: dict[str, float]


@dataclass(frozen=True, slots=True)
class EpochRecord:
    """Numbers of one whole epoch; `train`, `val` and `probes` by bare metric name (`loss`, `accuracy`, ...).

    Stored as series `train/loss`... with step = the epoch's last step: epoch means are kept apart from step values
    under the prefix `epoch/` (`epoch/train/loss`, `epoch/val/loss`, `epoch/probe/clean_loss`).
    """

    epoch: int
    step: int
    train: dict[str, float]
    val: dict[str, float]
    lr: float
    seconds: float
    is_best: bool = False
    probes: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Resumed:
    """The run goes on from a checkpoint: what was recorded after `step` is void and will come again."""

    step: int
    epoch: int
    exact: bool


@dataclass(frozen=True, slots=True)
class FileSaved:
    """A file in the attempt's scratch folder is complete and synced to disk; the recorder takes it over by moving it.

    `role` says what it is: `last` (resume state), `best` (weights of the best epoch so far), `model` (weights alone,
    safetensors), `dataset` (a part of a packed dataset). `name` is the file name that clients see.
    """

    role: Literal["last", "best", "model", "dataset", "other"]
    name: str
    path: Path
    step: int = 0
    epoch: int = 0
    metrics: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Log:
    """One line of text for people."""

    message: str
    level: Level = "info"


@dataclass(frozen=True, slots=True)
class Reported:
    """A result became known: stored by its name, which replaces an earlier one of that name."""

    name: ReportName | PartName
    report: Report


@dataclass(frozen=True, slots=True)
class DatasetPacked:
    """An import is complete; its files were announced by `FileSaved` before."""

    content: DatasetContent


@dataclass(frozen=True, slots=True)
class DatasetProfiled:
    """What an import saw that is about to fail."""

    profile: Profile


@dataclass(frozen=True, slots=True)
class RunnersWanted:
    """A search's study is ready: up to `count` more processes, on whichever workers are free, may run its trials."""

    spec: SearchFields
    """With every value that the search found out for itself."""
    count: int


@dataclass(frozen=True, slots=True)
class Stopped:
    """The last event of every run that did not raise."""

    reason: StopReason


Event = (
    Phase
    | Progress
    | StepRecord
    | EpochRecord
    | Resumed
    | FileSaved
    | Log
    | Reported
    | DatasetPacked
    | DatasetProfiled
    | RunnersWanted
    | Stopped
)
