"""Signs of life of a training process: what it sends while it works, and how long its supervisor waits for the next."""

import statistics
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from service.events import Phase
from service.specs import AnyStoredSpec
from service.specs.training import LimitsSpec
from service.specs.tune import SearchFields
from service.states import StopReason

SIGN_SECONDS = 0.5
"""Least time between two signs of life."""
LEAST_STALL_SECONDS, STALL_STEPS = 60.0, 50
"""Without `limits.stall_seconds`, a process may be silent for so long, or for so many of its median steps."""
UNSETTLED_SECONDS = 900.0
"""A process may be silent for so long while its pace is unknown: it loads, imports, compiles, or has just entered a
phase.
"""
SETTLED_SIGNS = 3
"""The pace is known after so many signs of life in one phase."""


@dataclass(frozen=True, slots=True)
class Alive:
    """The run goes on; `step_seconds` is the mean duration of its steps since the last sign."""

    step_seconds: float


class SignsOfLife:
    """Sends them from where a run asks whether it shall stop: after each step and each batch of an evaluation.

    A run that hangs falls silent then; signs from a thread of their own would hide that.
    """

    def __init__(self, send: Callable[[Alive], None], requested: Callable[[], StopReason | None]) -> None:
        self._send, self._requested = send, requested
        self._steps, self._sent_at = 0, time.monotonic()

    def reason(self) -> StopReason | None:
        """Why the run shall stop, if it shall."""
        self._steps += 1
        seconds = time.monotonic() - self._sent_at
        if seconds >= SIGN_SECONDS:
            self._send(Alive(seconds / self._steps))
            self._steps, self._sent_at = 0, time.monotonic()
        return self._requested()


class Patience:
    """How long the supervisor of a training process waits for its next message."""

    def __init__(self, spec: AnyStoredSpec, limits: LimitsSpec) -> None:
        training = spec.train if isinstance(spec, SearchFields) else spec
        self._given = limits.stall_seconds
        self._is_uneven = spec.kind == "import" or bool(getattr(training, "compile", False))
        self._step_seconds: deque[float] = deque(maxlen=101)

    def heard(self, message: object) -> None:
        """Learns the pace; a new phase has one of its own."""
        if isinstance(message, Phase):
            self._step_seconds.clear()
        elif isinstance(message, Alive):
            self._step_seconds.append(message.step_seconds)

    def seconds(self, *, is_stopped: bool) -> float:
        """Silence after which the attempt is given up: what the spec says, always. A stopped process (SIGSTOP) neither
        loads nor compiles.
        """
        if self._given is not None:
            return self._given
        if is_stopped:
            return LEAST_STALL_SECONDS
        if len(self._step_seconds) < SETTLED_SIGNS:
            return UNSETTLED_SECONDS
        usual = max(LEAST_STALL_SECONDS, STALL_STEPS * statistics.median(self._step_seconds))
        return max(usual, UNSETTLED_SECONDS) if self._is_uneven else usual
