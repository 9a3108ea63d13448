"""What a training process tells its supervisor, besides the engine's events."""

from dataclasses import dataclass

from service.errors import Problem


@dataclass(frozen=True, slots=True)
class Failed:
    """The run raised; `trace` is for the log."""

    problem: Problem
    retryable: bool
    trace: str


@dataclass(frozen=True, slots=True)
class Finished:
    """The run's events are complete."""
