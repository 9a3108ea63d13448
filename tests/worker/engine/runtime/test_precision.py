"""Where a run computes, in which format, and what happens when fp16 gradients overflow."""

from pathlib import Path

import pytest
import torch

from service.errors import DataError
from tests.worker.engine.runs import spec_of
from worker.engine.context import RunContext
from worker.engine.runtime.precision import Precision
from worker.engine.training.setup import build_run
from worker.engine.training.state import TrainingState
from worker.engine.training.train_step import MOST_OVERFLOWS, take_step


def run_with_scale(data: Path, scratch: Path, scale: float) -> TrainingState:
    """A run whose gradient scaler works as it does for fp16."""
    run = build_run(spec_of(), RunContext(scratch=scratch, dataset=data))
    run.model.train()
    run.optimizer_step.scaler = torch.amp.GradScaler("cpu", init_scale=scale)
    return run


def test_cpu_computes_in_full_precision_and_says_so() -> None:
    for wanted in ("auto", "fp32", "bf16", "fp16"):
        spec = spec_of(precision=wanted)
        precision = Precision.of(spec, "cpu")
        assert (precision.device.type, precision.dtype) == ("cpu", None)
        assert bool(precision.notes(spec)) == (wanted in ("bf16", "fp16"))


def test_cuda_is_used_where_it_is_and_refused_where_it_is_not() -> None:
    spec = spec_of(device="cuda")
    if torch.cuda.is_available():
        assert Precision.of(spec, "cuda").device.type == "cuda"
        return
    with pytest.raises(DataError, match="`cuda` and this worker has none"):
        Precision.of(spec, "cpu")


def test_autocast_computes_in_its_format() -> None:
    with Precision(torch.device("cpu"), torch.bfloat16).autocast():
        assert torch.nn.Linear(4, 4)(torch.randn(2, 4)).dtype is torch.bfloat16
    with Precision(torch.device("cpu")).autocast():
        assert torch.nn.Linear(4, 4)(torch.randn(2, 4)).dtype is torch.float32


def test_scaled_gradients_are_unscaled_before_they_are_clipped_and_recorded(few_digits: Path, tmp_path: Path) -> None:
    plain = build_run(spec_of(), RunContext(scratch=tmp_path, dataset=few_digits))
    plain.model.train()
    scaled = run_with_scale(few_digits, tmp_path, 2.0**12)
    for batch in plain.splits.train.epoch(1):
        one, other = take_step(plain, [batch]), take_step(scaled, [batch])
        assert other.record.values["grad_norm/total"] == pytest.approx(one.record.values["grad_norm/total"], rel=1e-5)
    for a, b in zip(plain.model.parameters(), scaled.model.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-6)


def test_overflow_skips_the_step_and_lowers_the_scale(few_digits: Path, tmp_path: Path) -> None:
    run = run_with_scale(few_digits, tmp_path, 2.0**127)
    next(run.model.parameters()).register_hook(lambda gradient: gradient * 1e3)
    batch = next(iter(run.splits.train.epoch(1)))
    before = [parameter.detach().clone() for parameter in run.model.parameters()]
    outcome = take_step(run, [batch])
    assert outcome.error is None
    assert all(torch.equal(a, b) for a, b in zip(before, run.model.parameters(), strict=True))
    assert run.optimizer_step.scaler.get_scale() == 2.0**126
    for _ in range(MOST_OVERFLOWS):
        outcome = take_step(run, [batch])
    assert outcome.error is None
    assert run.optimizer_step.overflows == 0


def test_overflow_that_no_scale_mends_ends_the_run(few_digits: Path, tmp_path: Path) -> None:
    run = run_with_scale(few_digits, tmp_path, 2.0**16)
    parameter = next(run.model.parameters())
    parameter.register_hook(lambda gradient: gradient * torch.inf)
    batch = next(iter(run.splits.train.epoch(1)))
    errors = [take_step(run, [batch]).error for _ in range(MOST_OVERFLOWS)]
    assert errors[:-1] == [None] * (MOST_OVERFLOWS - 1)
    assert errors[-1] is not None
    assert "gradient's norm is" in errors[-1].detail
