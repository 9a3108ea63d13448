"""The `batch-size` job and `batch_size: auto`: real memory limits, real deaths, in processes of their own."""

import multiprocessing
import os
import resource
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

from service.errors import OutOfMemoryError, RunError, StalledError
from service.events import Event, Log, Stopped
from service.reports.result import BatchSizeReport
from service.specs.batch_size import BatchSizeSpec
from service.states import StopReason
from tests.worker.engine import runs
from tests.worker.engine.conftest import pack
from tests.worker.engine.runs import StopAt, ended_by, last_state, only, reports_of
from worker.engine import run
from worker.engine.context import RunContext
from worker.engine.kinds import batch_probe
from worker.engine.kinds.batch_probe import CONTEXT, Measurement, measure
from worker.engine.kinds.batch_search import Finder, is_sensible, rounded, usable
from worker.engine.kinds.batch_size import scaled_lr, training_spec
from worker.engine.training import checkpoints

MEBI = 2**20
WIDE = {"family": "cnn", "channels": [32, 32], "hidden": [16]}
"""A network whose activations for 32x32 images take over half a MiB a sample."""


def spec_of(**fields: Any) -> BatchSizeSpec:
    quick = {"kind": "batch-size", "dataset": "digits", "model": {"family": "mlp", "hidden": [32]}}
    return BatchSizeSpec.model_validate(quick | fields)


def events_of(data: Path, scratch: Path, **fields: Any) -> list[Event]:
    return list(run(spec_of(**fields), RunContext(scratch=scratch, dataset=data)))


def result_of(events: list[Event]) -> BatchSizeReport:
    report = reports_of(events)["result"]
    assert isinstance(report, BatchSizeReport)
    return report


@pytest.fixture(scope="module")
def large_digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """400 digits of 32x32 pixels."""
    x, y = load_digits(return_X_y=True)
    images = np.kron((x[:400].reshape(-1, 8, 8, 1) * 15.9375).astype(np.uint8), np.ones((1, 4, 4, 1), np.uint8))
    split = np.repeat(np.array([0, 1, 2], np.uint8), [320, 40, 40])
    return pack(tmp_path_factory.mktemp("large-digits"), images, y[:400], split)


def test_measures_every_candidate_and_recommends_one(digits: Path, tmp_path: Path) -> None:
    events = events_of(digits, tmp_path, candidates=[512, 64, 4096], optimizer={"name": "adamw", "lr": 1e-3})
    found = result_of(events)
    sizes = [row.batch_size for row in found.table]
    assert {64, 512} <= set(sizes)
    assert max(sizes) <= 1437  # no batch is larger than the train split
    assert sizes == sorted(sizes)
    assert all(row.fits and (row.peak_memory_bytes or 0) > 0 for row in found.table)
    assert all((row.samples_per_second or 0) > 0 for row in found.table)
    assert found.largest == max(sizes)
    assert is_sensible(found.recommended, 1437)
    assert found.lr == pytest.approx(1e-3 * (found.recommended / 64) ** 0.5)
    assert ended_by(events) is StopReason.COMPLETED


def test_recovers_from_running_out_of_memory(large_digits: Path, tmp_path: Path) -> None:
    fields = {"model": WIDE, "memory_limit_bytes": 200 * MEBI, "candidates": [320, 16]}
    events = events_of(large_digits, tmp_path, **fields)
    found = result_of(events)
    rows = {row.batch_size: row for row in found.table}
    assert not rows[320].fits
    assert "memory" in (rows[320].reason or "")
    assert rows[320].peak_memory_bytes is None
    assert rows[16].fits
    assert 16 <= found.largest < 320
    assert any("320 does not fit" in event.message for event in only(events, Log))


def test_goes_below_the_candidates_when_none_fits(large_digits: Path, tmp_path: Path) -> None:
    fields = {"model": WIDE, "memory_limit_bytes": 200 * MEBI, "candidates": [320], "search_up": False}
    found = result_of(events_of(large_digits, tmp_path, **fields))
    assert found.largest < 320
    assert found.recommended <= found.largest


def test_says_so_when_not_even_one_sample_trains(digits: Path, tmp_path: Path) -> None:
    model = {"family": "mlp", "hidden": [16384, 16384]}  # a gigabyte of weights
    with pytest.raises(OutOfMemoryError, match="not even batch_size 1"):
        events_of(digits, tmp_path, model=model, memory_limit_bytes=128 * MEBI, candidates=[2])


def test_batch_norm_makes_two_the_least_size(digits: Path, tmp_path: Path) -> None:
    """Weights and gradients do not fit: of one sample BatchNorm complains before the memory ends."""
    fields = {"candidates": [2], "memory_limit_bytes": 64 * MEBI, "model": {"family": "mlp", "hidden": [3072, 3072]}}
    with pytest.raises(OutOfMemoryError, match="not even batch_size 2 trains"):
        events_of(digits, tmp_path, **fields)


def test_a_fault_that_is_not_about_memory_is_told(digits: Path, tmp_path: Path) -> None:
    loss = {"class_weights": [1.0, 2.0]}  # two weights for ten classes
    with pytest.raises(RunError, match="class_weights"):
        events_of(digits, tmp_path, loss=loss)


def test_a_killed_measurement_does_not_end_the_job(digits: Path, tmp_path: Path) -> None:
    spec, context = training_spec(spec_of()), RunContext(scratch=tmp_path, dataset=digits)
    with _signalling_the_first_child(signal.SIGKILL):
        found = measure(spec, context, 64, None, lambda: None)
    assert found is not None
    assert not found.fits
    assert "SIGKILL" in (found.reason or "")


@contextmanager
def _signalling_the_first_child(number: signal.Signals) -> Iterator[None]:
    """SIGKILL is how the kernel ends what takes too much memory; SIGSTOP makes a process hang."""

    def send() -> None:
        while not (children := multiprocessing.active_children()):
            time.sleep(0.001)
        os.kill(children[0].pid or 0, number)

    sender = threading.Thread(target=send)
    sender.start()
    yield
    sender.join()


def test_a_measurement_that_hangs_is_given_up(digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_probe, "ANSWER_SECONDS", 0.5)
    context = RunContext(scratch=tmp_path, dataset=digits)
    with _signalling_the_first_child(signal.SIGSTOP), pytest.raises(StalledError, match="batch size 64"):
        measure(training_spec(spec_of()), context, 64, None, lambda: None)


def test_a_run_that_is_asked_to_stop_reports_nothing(digits: Path, tmp_path: Path) -> None:
    context = RunContext(scratch=tmp_path, dataset=digits, stop=StopAt(1, StopReason.CANCELLED))
    events = list(run(spec_of(), context))
    assert ended_by(events) is StopReason.CANCELLED
    assert "result" not in reports_of(events)
    assert not multiprocessing.active_children()


def test_works_inside_a_jobs_process_under_its_limit(digits: Path, tmp_path: Path) -> None:
    """A job's process comes from a forkserver and may have a limit of its own, which its measurements inherit."""
    ours, theirs = CONTEXT.Pipe()
    process = CONTEXT.Process(target=_job, args=(theirs, digits, tmp_path))
    process.start()
    theirs.close()
    found: BatchSizeReport = ours.recv()
    process.join()
    assert [(row.batch_size, row.fits) for row in found.table] == [(64, True)]


def _job(pipe: Connection, data: Path, scratch: Path) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (64 * 2**30, 64 * 2**30))
    pipe.send(result_of(events_of(data, scratch, candidates=[64], search_up=False)))


class TestSearch:
    def finder(self, rows: list[tuple[int, float]], **fields: Any) -> Finder:
        finder = Finder(training_spec(spec_of()), RunContext(scratch=Path()), None, fields.pop("samples", 60_000))
        for size, speed in rows:
            finder.rows[size] = Measurement(
                size, fits=True, memory_bytes=100 * MEBI + size * MEBI, samples_per_second=speed
            )
        return finder

    def test_recommends_the_smallest_size_near_the_best_speed(self) -> None:
        finder = self.finder([(32, 700), (64, 960), (128, 990), (256, 1000), (512, 900)])
        assert finder.recommended().batch_size == 64
        assert finder.largest == 512

    @pytest.mark.parametrize(
        ("speeds", "samples", "rule"),
        [
            (
                [(32, 500), (64, 980), (128, 1000)],
                5000,
                "the smallest within 5 % of the best throughput (1,000 samples/s",
            ),
            ([(32, 500), (64, 1000)], 5000, "the fastest (1,000 samples/s), and no smaller one"),
            ([(16, 900), (32, 1000), (256, 5000)], 800, "sizes above 32 are out of bounds"),
            ([(32, 500), (256, 5000)], 800, "the only one that trained within the bounds"),
            ([(32, 500), (256, 5000)], 50, "the smallest that trained: none keeps to the bounds"),
        ],
    )
    def test_the_reason_names_the_rule_that_decided(
        self, speeds: list[tuple[int, float]], samples: int, rule: str
    ) -> None:
        finder = self.finder(speeds, samples=samples)
        assert rule in finder.why(finder.recommended())

    def test_leaves_enough_steps_an_epoch(self) -> None:
        finder = self.finder([(8, 100), (32, 500), (256, 5000)], samples=1000)
        assert finder.recommended().batch_size == 32
        assert self.finder([(32, 500), (256, 5000)], samples=50).recommended().batch_size == 32

    def test_predicts_the_largest_size_from_two(self) -> None:
        finder = self.finder([(32, 1), (64, 1)])
        finder.limit_bytes = 1000 * MEBI
        assert finder.predicted() == 800  # 0.9 * 1000 MiB less the constant 100, at 1 MiB a sample
        assert self.finder([(32, 1)]).predicted() is None

    def test_candidates_are_no_larger_than_the_data(self) -> None:
        assert usable([256, 128, 64, 32], 100) == [64, 32]
        assert usable([256, 128], 100) == [100]
        assert usable([256, 128, 64, 32], 1437, sensible=True) == [64, 32]
        assert usable([256, 128, 64, 32], 50, sensible=True) == [32]

    def test_sizes_suit_the_hardware(self) -> None:
        assert [rounded(size) for size in (1, 7, 8, 255, 800)] == [1, 7, 8, 248, 800]

    @pytest.mark.parametrize(("name", "lr", "rule"), [("sgd", 0.4, "linear"), ("adam", 0.2, "square-root")])
    def test_the_learning_rate_follows_the_batch_size(self, name: str, lr: float, rule: str) -> None:
        optimizer = spec_of(optimizer={"name": name, "lr": 0.1}).optimizer
        scaled, by = scaled_lr(optimizer, 64, 256)
        assert scaled == pytest.approx(lr)
        assert by == rule


class TestAuto:
    def test_trains_with_the_largest_usual_size_that_fits(self, digits: Path, tmp_path: Path) -> None:
        spec = runs.spec_of(batch_size="auto", epochs=1)
        events = runs.train(digits, tmp_path, spec)
        fixed = runs.train(digits, tmp_path / "fixed", spec.model_copy(update={"batch_size": 64}))
        assert any("batch_size auto: 64" in event.message for event in only(events, Log))
        assert runs.steps_of(events) == runs.steps_of(fixed)
        assert checkpoints.load(last_state(events).path)["batch_size"] == 64
        result = reports_of(events)["result"]
        assert (result.batch_size, result.lr) == (64, 1e-3)

    def test_a_resumed_run_keeps_its_size(self, digits: Path, tmp_path: Path) -> None:
        """Whatever fits by then: the checkpoint decides, and nothing is measured again."""
        first = runs.spec_of(batch_size=48, epochs=2)
        paused = runs.train(digits, tmp_path / "first", first, stop=StopAt(10))
        spec = first.model_copy(update={"batch_size": "auto"})
        resumed = runs.train(digits, tmp_path / "second", spec, resume_from=last_state(paused).path)
        whole = runs.train(digits, tmp_path / "whole", first)
        steps = runs.steps_of(paused) | runs.steps_of(resumed)
        assert steps == runs.steps_of(whole)
        assert not any("trains" in event.message for event in only(resumed, Log) if "batch size" in event.message)

    def test_is_given_up_when_the_run_is_asked_to_stop(self, digits: Path, tmp_path: Path) -> None:
        events = runs.train(digits, tmp_path, runs.spec_of(batch_size="auto"), stop=StopAt(1, StopReason.CANCELLED))
        assert events[-1] == Stopped(StopReason.CANCELLED)
        assert runs.steps_of(events) == {}
