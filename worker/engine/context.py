"""What a run gets from outside besides its spec."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from service.resolution.validation import Limits
from service.states import StopReason

MAIN = "main"
"""The runner of a search that is the `tune` job itself: it publishes what all runners find."""


def trial_file(number: int) -> str:
    """Name of the file in which a runner saves the state of a search's trial."""
    return f"trial-{number:05d}.pt"


def _never() -> StopReason | None:
    return None


def _no_state(number: int) -> Path | None:
    return None


@dataclass(frozen=True)
class RunContext:
    """Paths, device and signals of one attempt; every path is local to the worker."""

    scratch: Path
    """The attempt's own folder; files announced by `FileSaved` lie here."""
    dataset: Path | None = None
    """Folder of the packed dataset (`meta.json`, `x.npy`, `y.npy`, `split.npy`)."""
    device: str = "cpu"
    threads: int = 1
    limits: Limits = field(default=Limits())
    """What the operator allows of a training."""
    resume_from: Path | None = None
    """The last checkpoint of an earlier attempt."""
    weights: Path | None = None
    """The weights file that `model.weights` stands for."""
    data_roots: tuple[Path, ...] = ()
    """Folders that imports may read."""
    downloads: Path | None = None
    """Folder that known datasets may be downloaded into; None: they may not."""
    upload: Path | None = None
    """The uploaded file of an import."""
    study_url: str | None = None
    """Where the trials of a `tune` job are kept and shared; None: in this process's memory."""
    runner: str = MAIN
    """Name of the runner of its trials: `main`, or another process beside the job; it is the same after a restart."""
    trial_state: Callable[[int], Path | None] = field(default=_no_state)
    """The state that another runner saved of the trial of this number, fetched to this host."""
    stop: Callable[[], StopReason | None] = field(default=_never)
    """Called after every step; a reason makes the run save a last checkpoint and end."""
