"""Killed at any step and resumed, a run is bitwise the run that was never killed."""

import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from service.events import Event, FileSaved, Log, Resumed, StepRecord
from service.specs import STORED_SPEC
from service.specs.train import TrainSpec
from tests.worker.engine.runs import (
    StopAt,
    epochs_of,
    events_of,
    last_state,
    only,
    reports_of,
    spec_of,
    steps_of,
    train,
)
from tests.worker.engine.training.version_before.make import STEPS as VERSION_BEFORE_STEPS
from worker.engine.training import checkpoints

CASES: dict[str, dict[str, Any]] = {
    "cnn with everything": {
        "model": {"family": "cnn", "channels": [4, 8], "hidden": [16], "dropout": 0.5},
        "augment": [
            {"op": "horizontal_flip"},
            {"op": "rotation", "degrees": 10},
            {"op": "crop", "padding": 1},
            {"op": "erasing", "p": 0.5},
            {"op": "mixup"},
        ],
        "ema": {"decay": 0.9},
        "schedule": {"name": "reduce-on-plateau", "patience": 0, "min_delta": 10.0, "factor": 0.5, "warmup": 0.1},
        "accumulate": 2,
        "batch_size": 20,
        "gradients": {"every": 3},
    },
    "mlp, one-cycle, sgd": {
        "model": {"family": "mlp", "hidden": [32, 16], "dropout": [0.3, 0.1]},
        "optimizer": {"name": "sgd", "lr": 0.05, "nesterov": True},
        "schedule": {"name": "one-cycle"},
        "loss": {"label_smoothing": 0.1, "class_weights": "balanced"},
        "batch_size": 64,
    },
    "mlp that stops early": {
        "model": {"family": "mlp", "hidden": [16], "batch_norm": False},
        "epochs": 10,
        "early_stopping": {"patience": 2, "min_delta": 5.0, "metric": "val/accuracy"},
        "batch_size": 100,
    },
}


def killed_at(step: int, events: Any) -> list[Event]:
    """What a run had said when it was killed right after optimizer step `step`."""
    seen: list[Event] = []
    for event in events:
        seen.append(event)
        if isinstance(event, StepRecord) and event.step == step:
            break
    events.close()
    return seen


def draw_from_every_generator() -> None:
    """What another job in the same process would do."""
    random.random()
    np.random.random()
    torch.rand(3)


def assert_same_run(whole: list[Event], parts: list[Event]) -> None:
    """The parts' last word on each step and epoch is the whole run's; so are the weights and the predictions."""
    assert steps_of(parts) == steps_of(whole)
    final = {epoch[0]: epoch for epoch in epochs_of(parts)}
    assert list(final.values()) == epochs_of(whole)
    one, other = (reports_of(events) for events in (whole, parts))
    for name in ("report:val", "confusion:val", "report:test", "confusion:test"):
        assert one[name] == other[name]
    first, second = (load_file(_file(events, "model").path) for events in (whole, parts))
    assert all(torch.equal(first[name], second[name]) for name in first)
    before, after = (checkpoints.load(last_state(events).path) for events in (whole, parts))
    assert _same(before["optimizer"], after["optimizer"])
    assert _same(before["ema"], after["ema"])


def _file(events: list[Event], role: str) -> FileSaved:
    return [event for event in only(events, FileSaved) if event.role == role][-1]


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)


@pytest.mark.parametrize("name", CASES)
def test_killed_at_random_steps_and_resumed_is_bitwise_the_same(name: str, few_digits: Path, tmp_path: Path) -> None:
    spec = spec_of(**CASES[name] | {"checkpoint": {"every_steps": 2, "every_seconds": 1e6}})
    whole = train(few_digits, tmp_path / "whole", spec)
    steps = max(steps_of(whole))
    kills = sorted(random.Random(name).sample(range(2, steps), 4))
    parts: list[Event] = []
    resume: Path | None = None
    for attempt, step in enumerate([*kills, steps + 1]):
        events = events_of(few_digits, tmp_path / str(attempt), spec, resume_from=resume)
        parts += killed_at(step, events)
        resume = last_state(parts).path if only(parts, FileSaved) else None  # killed before the first checkpoint
        draw_from_every_generator()
    assert_same_run(whole, parts)
    assert all(event.exact for event in only(parts, Resumed))
    assert only(parts, Resumed)


def test_resume_with_two_threads_is_bitwise_the_same_too(few_digits: Path, tmp_path: Path) -> None:
    spec = spec_of(**CASES["cnn with everything"] | {"epochs": 1})
    whole = train(few_digits, tmp_path / "whole", spec, threads=2)
    stopped = train(few_digits, tmp_path / "a", spec, threads=2, stop=StopAt(3))
    resumed = train(few_digits, tmp_path / "b", spec, threads=2, resume_from=last_state(stopped).path)
    assert_same_run(whole, stopped + resumed)
    assert only(resumed, Resumed)[0].exact


def test_run_stopped_again_and_again_is_bitwise_the_same(few_digits: Path, tmp_path: Path) -> None:
    spec = spec_of(**CASES["cnn with everything"] | {"epochs": 2})
    whole = train(few_digits, tmp_path / "whole", spec)
    parts: list[Event] = []
    resume: Path | None = None
    for attempt in range(100):
        parts += train(few_digits, tmp_path / str(attempt), spec, resume_from=resume, stop=StopAt(3))
        resume = last_state(parts).path
        if "result" in reports_of(parts):
            break
    assert_same_run(whole, parts)


def test_process_killed_by_the_kernel_leaves_a_state_that_resumes_exactly(few_digits: Path, tmp_path: Path) -> None:
    spec = spec_of(**CASES["mlp, one-cycle, sgd"] | {"checkpoint": {"every_steps": 1}})
    code = (
        "import os, pathlib, signal, sys\n"
        "from service.events import StepRecord\n"
        "from service.specs.train import TrainSpec\n"
        "from worker.engine import run\n"
        "from worker.engine.context import RunContext\n"
        "data, scratch, spec = sys.argv[1:]\n"
        "context = RunContext(scratch=pathlib.Path(scratch), dataset=pathlib.Path(data))\n"
        "for event in run(TrainSpec.model_validate_json(spec), context):\n"
        "    if isinstance(event, StepRecord) and event.step == 8:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    scratch = tmp_path / "killed"
    command = [sys.executable, "-c", code, str(few_digits), str(scratch), spec.model_dump_json()]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    states = sorted(scratch.glob("step-*.pt"))
    assert states[-1].name == "step-00000007.pt"
    resumed = train(few_digits, tmp_path / "resumed", spec, resume_from=states[-1])
    whole = train(few_digits, tmp_path / "whole", spec)
    assert {step: values for step, values in steps_of(whole).items() if step > 7} == steps_of(resumed)
    assert reports_of(resumed)["report:test"] == reports_of(whole)["report:test"]


def test_another_number_of_threads_makes_the_resume_approximate_and_says_so(few_digits: Path, tmp_path: Path) -> None:
    spec = spec_of()
    stopped = train(few_digits, tmp_path / "a", spec, stop=StopAt(3), threads=1)
    resumed = train(few_digits, tmp_path / "b", spec, resume_from=last_state(stopped).path, threads=2)
    assert [event.exact for event in only(resumed, Resumed)] == [False]
    assert reports_of(resumed)["result"].resume == "approximate"
    assert any("threads" in log.message for log in only(resumed, Log))


def test_resume_of_a_finished_run_gives_its_reports_again(few_digits: Path, tmp_path: Path) -> None:
    spec: TrainSpec = spec_of()
    whole = train(few_digits, tmp_path / "a", spec)
    again = train(few_digits, tmp_path / "b", spec, resume_from=last_state(whole).path)
    assert not steps_of(again)
    assert reports_of(again)["report:test"] == reports_of(whole)["report:test"]


def test_checkpoint_of_the_version_before_resumes_as_if_nothing_had_happened(few_digits: Path, tmp_path: Path) -> None:
    """Close and not equal: the first steps ran on another processor, whose sums may be rounded otherwise."""
    folder = Path(__file__).parent / "version_before"
    spec = STORED_SPEC.validate_json((folder / "spec.json").read_bytes())
    assert isinstance(spec, TrainSpec)
    whole = train(few_digits, tmp_path / "whole", spec)
    resumed = train(few_digits, tmp_path / "resumed", spec, resume_from=folder / "checkpoint.pt")
    assert min(steps_of(resumed)) == VERSION_BEFORE_STEPS + 1
    assert max(steps_of(resumed)) == max(steps_of(whole))
    for step, values in steps_of(resumed).items():
        assert values == pytest.approx(steps_of(whole)[step], rel=1e-3), step
    first, second = (load_file(_file(events, "model").path) for events in (whole, resumed))
    for name, weights in first.items():
        torch.testing.assert_close(second[name], weights, rtol=1e-3, atol=1e-5)
    assert reports_of(resumed)["result"].resume == "exact"


def test_a_checkpoint_tells_the_epoch_of_its_last_step(few_digits: Path, tmp_path: Path) -> None:
    spec = spec_of(epochs=2, checkpoint={"every_steps": 2, "every_seconds": 1e6})
    states = [event for event in only(train(few_digits, tmp_path, spec), FileSaved) if event.role == "last"]
    steps_per_epoch = states[-1].step // 2
    assert {event.step: event.epoch for event in states} == {
        event.step: -(-event.step // steps_per_epoch) for event in states
    }
