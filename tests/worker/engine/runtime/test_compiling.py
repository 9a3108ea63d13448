"""`compile`: the same numbers from a compiled network, and a run without it where there is no compiler."""

from pathlib import Path

import pytest

from service.errors import RunError
from service.events import Log
from service.states import StopReason
from tests.worker.engine.runs import ended_by, epochs_of, only, reports_of, spec_of, train

# Inductor imports a part of torch that torch itself calls deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script_method:DeprecationWarning")
# Without batch norm: before it a bias has no gradient but noise, which Adam makes steps of.
TINY = {"epochs": 1, "model": {"family": "mlp", "hidden": [8], "batch_norm": False, "dropout": 0.0}}


def test_compiled_network_gives_the_same_numbers(few_digits: Path, tmp_path: Path) -> None:
    plain, fast = (
        train(few_digits, tmp_path / str(compile), spec_of(**TINY, compile=compile, batch_size=50))
        for compile in (False, True)
    )
    assert reports_of(fast)["result"].notes == []
    assert epochs_of(fast)[0][3] == pytest.approx(epochs_of(plain)[0][3], rel=1e-4)


def test_without_a_compiler_the_run_says_so_and_goes_on(
    few_digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    events = train(few_digits, tmp_path, spec_of(**TINY, compile=True))
    assert ended_by(events) is StopReason.COMPLETED
    whole, note = reports_of(events)["result"].notes
    assert "each epoch leaves out" in whole
    assert "`compile` needs the C++ compiler g++" in note
    assert note in [event.message for event in only(events, Log)]


def test_compiler_that_fails_is_told(few_digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "broken-compiler"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("CXX", str(broken))
    monkeypatch.setattr("torch._inductor.config.cpp.cxx", (str(broken),))
    with pytest.raises(RunError, match="set `compile` to false"):
        train(few_digits, tmp_path, spec_of(epochs=1, model={"family": "mlp", "hidden": [9]}, compile=True))
