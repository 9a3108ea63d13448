"""The journal of a campaign: one line of JSON a trial, so that a stop loses nothing; and the table drawn from it."""

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

HEAD = (
    "| home | fault | tries | lost | stuck | points lost | points doubled | equal to undisturbed | attempts lost "
    "| resumed / from the start | recovery, median (worst) | other faults |\n" + "|---" * 12 + "|"
)


@dataclass(frozen=True)
class Trial:
    """What became of the jobs of one trial."""

    number: int
    home: str
    fault: str
    after_checkpoint: bool
    """Whether the fault came after the training's first checkpoint."""
    version: str
    """Of the program: a commit."""
    jobs: int = 0
    running: list[str] = field(default_factory=list)
    """Kinds of the jobs that had not ended when the fault came."""
    lost: list[str] = field(default_factory=list)
    """Kinds of accepted jobs that are not there, are there twice or did not succeed."""
    stuck: list[str] = field(default_factory=list)
    points_lost: int = 0
    points_doubled: int = 0
    unequal: list[str] = field(default_factory=list)
    """What differs from the undisturbed run, by kind."""
    attempts_lost: int = 0
    attempts_excused: bool = False
    resumed: int = 0
    from_start: int = 0
    """Attempts of the training that began at the start although a checkpoint was there."""
    faults: list[str] = field(default_factory=list)
    """Whatever else does not hold, in words."""
    died: list[str] = field(default_factory=list)
    """Programs that were started again."""
    recovery_seconds: float | None = None
    seconds: float = 0.0

    @property
    def is_clean(self) -> bool:
        """Whether nothing was lost."""
        losses = (self.lost, self.stuck, self.points_lost, self.points_doubled, self.unequal, self.faults)
        return not any(losses) and not self.from_start and (self.attempts_excused or not self.attempts_lost)


class Journal:
    """A file to which each trial is added when it has ended."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = path.read_text().splitlines() if path.exists() else []
        self.trials = [Trial(**json.loads(line)) for line in lines]

    def add(self, trial: Trial) -> None:
        """Writes one line."""
        self.trials.append(trial)
        with self.path.open("a") as file:
            file.write(json.dumps(asdict(trial)) + "\n")


def table(trials: Sequence[Trial]) -> str:
    """A row for each home and fault, in the order in which they first came, and the sums."""
    groups: dict[tuple[str, str], list[Trial]] = {}
    for trial in trials:
        groups.setdefault((trial.home, trial.fault), []).append(trial)
    rows = [_row(home, fault, group) for (home, fault), group in groups.items()]
    return "\n".join([HEAD, *rows, _row("**all**", "", trials)])


def _row(home: str, fault: str, trials: Sequence[Trial]) -> str:
    seconds = [trial.recovery_seconds for trial in trials if trial.recovery_seconds is not None]
    recovery = f"{statistics.median(seconds):.1f} s ({max(seconds):.1f} s)" if seconds else ""
    cells = (
        home,
        fault,
        len(trials),
        sum(len(trial.lost) for trial in trials),
        sum(len(trial.stuck) for trial in trials),
        sum(trial.points_lost for trial in trials),
        sum(trial.points_doubled for trial in trials),
        f"{sum(not trial.unequal for trial in trials)} of {len(trials)}",
        sum(trial.attempts_lost for trial in trials),
        f"{sum(trial.resumed for trial in trials)} / {sum(trial.from_start for trial in trials)}",
        recovery,
        sum(len(trial.faults) for trial in trials),
    )
    return "| " + " | ".join(map(str, cells)) + " |"
