"""How long a supervisor waits depends on the pace of the run, and a run that works says so."""

from typing import Any

import pytest

from service.events import Phase
from service.specs import STORED_SPEC
from service.specs.training import LimitsSpec
from service.states import StopReason
from worker.attempt import signs_of_life
from worker.attempt.signs_of_life import UNSETTLED_SECONDS, Alive, Patience, SignsOfLife


def patience(*step_seconds: float, limits: LimitsSpec | None = None, **fields: Any) -> Patience:
    """Of a training whose signs told these durations of steps."""
    spec = STORED_SPEC.validate_python({"kind": "train", "dataset": "digits", **fields})
    made = Patience(spec, limits or LimitsSpec())
    for seconds in step_seconds:
        made.heard(Alive(seconds))
    return made


def test_without_a_limit_it_is_fifty_median_steps_and_at_least_a_minute() -> None:
    assert patience(0.1, 0.1, 9.0).seconds(is_stopped=False) == 60
    assert patience(3.0, 4.0, 500.0).seconds(is_stopped=False) == 200


@pytest.mark.parametrize("seconds", [5, 3600])
def test_a_given_limit_holds_at_once_and_in_every_phase(seconds: float) -> None:
    limits = LimitsSpec(stall_seconds=seconds)
    loading, compiling = patience(limits=limits), patience(1.0, 1.0, 1.0, limits=limits, compile=True)
    importing = patience(limits=limits, kind="import", source={"kind": "builtin"})
    for waiting in (loading, compiling, importing, patience(1.0, 1.0, 1.0, limits=limits)):
        assert waiting.seconds(is_stopped=False) == waiting.seconds(is_stopped=True) == seconds


def test_a_run_that_loads_or_enters_a_phase_may_be_silent_for_longer_unless_it_is_stopped() -> None:
    known = patience(1.0, 1.0, 1.0)
    known.heard(Phase("testing"))
    assert known.seconds(is_stopped=False) == UNSETTLED_SECONDS
    assert known.seconds(is_stopped=True) == 60


def test_a_run_that_compiles_and_an_import_may_be_silent_for_longer() -> None:
    assert patience(1.0, 1.0, 1.0, compile=True).seconds(is_stopped=False) == UNSETTLED_SECONDS
    importing = patience(1.0, 1.0, 1.0, kind="import", source={"kind": "builtin"})
    assert importing.seconds(is_stopped=False) == UNSETTLED_SECONDS


def test_signs_tell_the_mean_duration_of_a_step_and_pass_the_request_on(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[Alive] = []
    monkeypatch.setattr(signs_of_life, "SIGN_SECONDS", 0.0)
    signs = SignsOfLife(sent.append, lambda: StopReason.PAUSED)
    assert [signs.reason(), signs.reason()] == [StopReason.PAUSED] * 2
    assert len(sent) == 2
    monkeypatch.setattr(signs_of_life, "SIGN_SECONDS", 60.0)
    signs.reason()
    assert len(sent) == 2
