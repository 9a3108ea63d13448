"""The same HOME with digits as for the worker's tests."""

from tests.worker.attempt.conftest import digits_home, forkserver, settings

__all__ = ["digits_home", "forkserver", "settings"]
