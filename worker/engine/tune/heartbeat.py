"""Heartbeats of trials: a thread of each trial's runner sends them, the search's main process watches for them.

The watcher goes by its own clock and by whether the sign has changed, so clocks of different machines do not matter.
"""

import threading
import time
from typing import Self

from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.trial import Trial

BEAT = "beat"
BEAT_SECONDS, GRACE_SECONDS = 10.0, 60.0


class Heartbeat:
    """Counts up a trial's `beat` while it is entered, however long a step of the trial takes."""

    def __init__(self, trial: Trial) -> None:
        self._trial, self._ended = trial, threading.Event()
        self._thread = threading.Thread(target=self._beat, name=f"heartbeat-{trial.number}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _beat(self) -> None:
        beats = 0
        while not self._ended.wait(BEAT_SECONDS):
            beats += 1
            try:
                self._trial.storage.set_trial_user_attr(self._trial._trial_id, BEAT, beats)
            except StorageInternalError:  # the database is away for a moment
                continue
            except UpdateFinishedTrialError:  # another has ended the trial; its runner hears so at the next epoch
                return


class HeartbeatMonitor:
    """The last beat of each trial, and when it was first seen."""

    def __init__(self) -> None:
        self._seen: dict[int, tuple[object, float]] = {}

    def is_silent(self, number: int, beat: object) -> bool:
        """Whether a running trial has shown the same beat (None: none yet) for too long."""
        now = time.monotonic()
        last, since = self._seen.get(number, (None, now))
        if number not in self._seen or last != beat:
            self._seen[number] = (beat, now)
            return False
        return now - since > GRACE_SECONDS
