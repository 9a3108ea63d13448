"""The same HOME with digits, and a client of its jobs, as for the tests of attempts."""

from tests.worker.attempt.conftest import client, digits_home, forkserver, settings

__all__ = ["client", "digits_home", "forkserver", "settings"]
