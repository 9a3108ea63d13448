"""Series: written in any batches, read back exactly, downsampled without losing what matters."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from service.events import EpochRecord, StepRecord
from service.settings import Settings
from service.store import jobs, metrics
from service.store import points as packing
from service.store.migrate import upgrade
from service.store.points import CHUNK_POINTS, POINT
from service.store.session import Store
from service.store.tables import ChunkRow
from tests.service.conftest import Harness, spec


def steps(first: int, last: int, name: str = "train/loss") -> list[StepRecord]:
    """Records of the steps first..last, with the step as value."""
    return [StepRecord(step, 1 + step // 100, {name: float(step)}) for step in range(first, last + 1)]


def epoch(number: int, step: int, loss: float = 0.5) -> EpochRecord:
    """A record of a whole epoch."""
    return EpochRecord(
        epoch=number,
        step=step,
        train={"loss": loss, "accuracy": 0.9},
        val={"loss": loss * 2},
        lr=0.1,
        seconds=1.5,
        is_best=number == 1,
        probes={"clean_loss": loss / 2},
    )


def values(harness: Harness, job_id: str, name: str = "train/loss") -> list[float]:
    """Every value of a series."""
    with harness.store.read() as session:
        series = metrics.read(session, job_id, [name])
    return [float(value) for value in series[name]["value"]] if name in series else []


def test_points_come_back_in_order(harness: Harness) -> None:
    job_id = harness.submit()
    for first, last in ((1, 3), (4, 4), (5, 2000), (2001, 2003)):
        with harness.store.begin() as session:
            metrics.write(session, job_id, steps(first, last))
    assert values(harness, job_id) == [float(step) for step in range(1, 2004)]
    with harness.store.read() as session:
        points = metrics.read(session, job_id, from_step=1999)["train/loss"]
        assert list(points["step"]) == [1999, 2000, 2001, 2002, 2003]
        assert list(points["epoch"]) == [20, 21, 21, 21, 21]
        assert metrics.names(session, job_id) == ["train/loss"]
        chunks = session.execute(select(func.count()).select_from(ChunkRow)).scalar_one()
    assert chunks == math.ceil(2003 / CHUNK_POINTS)


def test_writing_again_changes_nothing(harness: Harness) -> None:
    job_id = harness.submit()
    for _ in range(2):
        with harness.store.begin() as session:
            metrics.write(session, job_id, [*steps(1, 700), epoch(1, 700)])
    assert values(harness, job_id) == [float(step) for step in range(1, 701)]
    with harness.store.read() as session:
        assert len(metrics.epochs(session, job_id)) == 1


def test_values_that_are_not_finite_survive(harness: Harness) -> None:
    job_id = harness.submit()
    odd = [math.nan, math.inf, -math.inf, 1e-320, -0.0, 1.5]
    with harness.store.begin() as session:
        metrics.write(session, job_id, [StepRecord(n, 1, {"train/loss": v}) for n, v in enumerate(odd, 1)])
        metrics.write(session, job_id, [epoch(1, 6, math.nan), epoch(2, 12, math.inf)])
    assert [repr(value) for value in values(harness, job_id)] == [repr(value) for value in odd]
    with harness.store.read() as session:
        assert [row.data["train"]["loss"] for row in metrics.epochs(session, job_id)] == ["nan", "inf"]


def test_epochs_become_series_and_rows(harness: Harness) -> None:
    job_id = harness.submit()
    with harness.store.begin() as session:
        metrics.write(session, job_id, [epoch(1, 10), epoch(2, 20)])
    assert values(harness, job_id, "epoch/val/loss") == [1.0, 1.0]
    assert values(harness, job_id, "epoch/probe/clean_loss") == [0.25, 0.25]
    with harness.store.read() as session:
        rows = metrics.epochs(session, job_id)
    assert [(row.epoch, row.step, row.data["is_best"]) for row in rows] == [(1, 10, True), (2, 20, False)]
    assert rows[0].data["probes"] == {"clean_loss": 0.25}


@pytest.mark.parametrize("step", [0, 1, CHUNK_POINTS - 1, CHUNK_POINTS, CHUNK_POINTS + 1, 1500, 5000])
def test_truncate_drops_what_came_after(harness: Harness, step: int) -> None:
    job_id, other = harness.submit(), harness.submit()
    with harness.store.begin() as session:
        metrics.write(session, job_id, [*steps(1, 2000), epoch(1, 1000), epoch(2, 2000)])
        metrics.write(session, other, steps(1, 10))
    with harness.store.begin() as session:
        metrics.truncate_after(session, job_id, step)
    kept = min(step, 2000)
    assert values(harness, job_id) == [float(step) for step in range(1, kept + 1)]
    with harness.store.begin() as session:
        assert [row.step for row in metrics.epochs(session, job_id)] == [s for s in (1000, 2000) if s <= step]
        metrics.write(session, job_id, steps(kept + 1, kept + 10))
    assert values(harness, job_id) == [float(step) for step in range(1, kept + 11)]
    assert len(values(harness, other)) == 10


def test_downsampled_series_keeps_ends_extremes_and_odd_values(harness: Harness) -> None:
    job_id = harness.submit()
    records = steps(1, 5000)
    records[2345] = StepRecord(2346, 1, {"train/loss": 1e6})
    records[3456] = StepRecord(3457, 1, {"train/loss": math.nan})
    with harness.store.begin() as session:
        metrics.write(session, job_id, records)
    with harness.store.read() as session:
        points = metrics.read(session, job_id, ["train/loss"], max_points=100)["train/loss"]
    assert len(points) <= 100
    assert {1, 5000, 2346, 3457} <= {int(step) for step in points["step"]}
    assert np.all(np.diff(points["step"]) > 0)


def test_very_long_series_is_drawn_from_sketches_and_keeps_the_same(harness: Harness) -> None:
    job_id, count = harness.submit(), 40 * CHUNK_POINTS + 100
    value = np.random.default_rng(0).normal(size=count)
    value[[7_000, 12_000]], value[[3_000, 15_555, 15_556]] = (50.0, -50.0), (math.nan, math.inf, -math.inf)
    records = [StepRecord(step, 1, {"train/loss": float(loss)}) for step, loss in enumerate(value, 1)]
    with harness.store.begin() as session:
        metrics.write(session, job_id, records)
    with harness.store.read() as session:
        points = metrics.read(session, job_id, ["train/loss"], from_step=100, max_points=100)["train/loss"]
        everything = metrics.read(session, job_id, ["train/loss"])["train/loss"]
    assert len(everything) == count > metrics.SKETCHED_FROM * 100
    assert len(points) <= 100
    steps_kept = {int(step) for step in points["step"]}
    assert {7_001, 12_001, 3_001, 15_556, 15_557, count} <= steps_kept
    assert min(steps_kept) >= 100
    assert all(repr(float(point["value"])) == repr(float(value[int(point["step"]) - 1])) for point in points)


@given(st.lists(st.floats(width=64), min_size=CHUNK_POINTS, max_size=CHUNK_POINTS))
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
def test_sketch_has_the_ends_the_extremes_and_the_odd(value: list[float]) -> None:
    points = np.zeros(CHUNK_POINTS, dtype=POINT)
    points["step"], points["value"] = np.arange(CHUNK_POINTS), value
    drawn = packing.sketch(points)
    finite = [number for number in value if math.isfinite(number)]
    kept = [float(number) for number in drawn["value"]]
    assert (int(drawn["step"][0]), int(drawn["step"][-1])) == (0, CHUNK_POINTS - 1)
    assert not finite or (min(finite) in kept and max(finite) in kept)
    assert any(map(math.isnan, value)) == any(map(math.isnan, kept))
    assert {number for number in value if math.isinf(number)} == {number for number in kept if math.isinf(number)}
    assert len(drawn) <= 2 * CHUNK_POINTS // packing.SKETCH_STRIDE + 5


@given(
    value=st.lists(st.floats(width=64), min_size=1, max_size=400),
    max_points=st.integers(min_value=3, max_value=120),
)
@settings(max_examples=60, deadline=None)
def test_downsample_keeps_real_points_in_order(value: list[float], max_points: int) -> None:
    points = np.zeros(len(value), dtype=POINT)
    points["step"], points["value"] = np.arange(1, len(value) + 1), value
    chosen = packing.downsample(points, max_points)
    assert len(chosen) <= max_points
    assert np.all(np.diff(chosen["step"]) > 0)
    for point in chosen:
        assert repr(float(point["value"])) == repr(value[int(point["step"]) - 1])
    finite = [number for number in value if math.isfinite(number)]
    if finite:
        assert {min(finite), max(finite)} <= set(chosen["value"].tolist())
    if len(finite) == len(value) and max_points >= 6:
        assert chosen["step"][0] == 1


@given(cuts=st.lists(st.integers(min_value=1, max_value=1400), max_size=6), again=st.integers(0, 1400))
@settings(max_examples=25, deadline=None)
def test_batches_do_not_matter(tmp_path_factory: pytest.TempPathFactory, cuts: list[int], again: int) -> None:
    store = fresh_store(tmp_path_factory)
    with store.begin() as session:
        job_id = jobs.create(session, spec()).id
    edges = [0, *sorted(set(cuts)), 1400]
    for first, last in itertools.pairwise(edges):
        write(store, job_id, first + 1, last)
    with store.begin() as session:
        metrics.truncate_after(session, job_id, again)
    write(store, job_id, again + 1, 1400)
    with store.read() as session:
        assert list(read_all(session, job_id)) == list(range(1, 1401))
    store.close()


def write(store: Store, job_id: str, first: int, last: int) -> None:
    """One flush."""
    with store.begin() as session:
        metrics.write(session, job_id, steps(first, last))


def read_all(session: Session, job_id: str) -> list[int]:
    """The steps of the series."""
    return [int(step) for step in metrics.read(session, job_id)["train/loss"]["step"]]


def fresh_store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store on a SQLite file of its own."""
    folder = tmp_path_factory.mktemp("series")
    store = Store(Settings(home=folder))
    upgrade(store.engine)
    return store
