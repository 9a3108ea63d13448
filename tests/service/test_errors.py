"""The error tree: each class carries its status, and a failed job's says whose fault it was."""

import pytest

from service.errors import (
    DataError,
    DivergedError,
    GateError,
    OutOfMemoryError,
    ProcessDiedError,
    RunError,
    StalledError,
    UnfitSpecError,
    WeightsError,
)


@pytest.mark.parametrize(
    ("kinds", "status"),
    [
        ((DataError, DivergedError, OutOfMemoryError, UnfitSpecError, WeightsError), 422),
        ((GateError,), 409),
        ((ProcessDiedError, StalledError, RunError), 500),
    ],
)
def test_a_failure_that_another_spec_can_mend_is_the_clients(kinds: tuple[type[RunError], ...], status: int) -> None:
    assert [kind("why").problem().status for kind in kinds] == [status] * len(kinds)
