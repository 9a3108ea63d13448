"""Metric series: packed chunks of points, written in batches and read back as arrays.

A chunk holds consecutive points of one series as `POINT` records (28 bytes a point: a million points are 28 MB and some
two thousand rows). NaN and infinities are stored as they are. A full chunk also has a sketch of itself, a sixteenth of
its points with every extreme among them: what a long series is downsampled from.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, Executable, delete, func, insert, select, update
from sqlalchemy.orm import Session, aliased
from tsdownsample import MinMaxLTTBDownsampler

from service.events import EpochRecord, StepRecord
from service.store.session import now, upsert
from service.store.tables import ChunkRow, EpochRow, SeriesRow

POINT = np.dtype([("step", "<i8"), ("epoch", "<i4"), ("value", "<f8"), ("time", "<f8")])
"""One point: optimizer step, epoch, value, seconds since 1970 (UTC)."""
CHUNK_POINTS = 512
SKETCH_STRIDE = 32
SKETCHED_FROM = 64
"""Points for each one wanted from which on a series is read from its sketches."""
Points = NDArray[np.void]


def write(session: Session, job_id: str, records: Sequence[StepRecord | EpochRecord]) -> None:
    """Appends points in the order of their steps; call it under a fence (see `jobs.hold`).

    A record that comes again (same series, a step not above the last one) is passed over: writing is idempotent.
    """
    time = now(session).timestamp()
    fresh: dict[str, list[tuple[int, int, float, float]]] = defaultdict(list)
    for record in records:
        for name, value in _values(record):
            fresh[name].append((record.step, record.epoch, value, time))
    ids = _series_ids(session, job_id, list(fresh))
    tails = _tails(session, list(ids.values()))
    rows = [row for name, points in fresh.items() for row in _chunks(ids[name], points, tails.get(ids[name]))]
    if rows:
        session.execute(_replacing(session), rows)
    for record in records:
        if isinstance(record, EpochRecord):
            session.merge(EpochRow(job_id=job_id, epoch=record.epoch, step=record.step, data=_epoch_data(record)))
    session.flush()


def _values(record: StepRecord | EpochRecord) -> Iterable[tuple[str, float]]:
    if isinstance(record, StepRecord):
        return record.values.items()
    parts = {"train": record.train, "val": record.val, "probe": record.probes}
    named = {f"epoch/{part}/{name}": value for part, values in parts.items() for name, value in values.items()}
    # `val/loss` is what people look for; the same numbers stand under `epoch/` beside those of train.
    return (named | {f"val/{name}": value for name, value in record.val.items()} | {"epoch/lr": record.lr}).items()


def _epoch_data(record: EpochRecord) -> dict[str, Any]:
    def plain(values: dict[str, float]) -> dict[str, float | str]:
        return {name: value if np.isfinite(value) else str(value) for name, value in values.items()}

    return {
        "train": plain(record.train),
        "val": plain(record.val),
        "probes": plain(record.probes),
        "lr": record.lr,
        "seconds": record.seconds,
        "is_best": record.is_best,
    }


def _series_ids(session: Session, job_id: str, names: list[str]) -> dict[str, int]:
    wanted = select(SeriesRow.name, SeriesRow.id).where(SeriesRow.job_id == job_id)
    known = {row.name: row.id for row in session.execute(wanted)}
    missing = [name for name in names if name not in known]
    if missing:
        session.execute(insert(SeriesRow), [{"job_id": job_id, "name": name} for name in missing])
        known = {row.name: row.id for row in session.execute(wanted)}
    return {name: known[name] for name in names}


def _tails(session: Session, ids: list[int]) -> dict[int, tuple[int, int, int, bytes]]:
    """The last chunk of each series: first step, last step, count, data."""
    other = aliased(ChunkRow)
    newest = (
        select(func.max(other.first_step)).where(other.series_id == SeriesRow.id).correlate(SeriesRow).scalar_subquery()
    )
    wanted = (
        select(ChunkRow.series_id, ChunkRow.first_step, ChunkRow.last_step, ChunkRow.count, ChunkRow.data)
        .join(SeriesRow, SeriesRow.id == ChunkRow.series_id)
        .where(SeriesRow.id.in_(ids), ChunkRow.first_step == newest)
    )
    return {row[0]: (row[1], row[2], row[3], row[4]) for row in session.execute(wanted)}


def _chunks(
    series_id: int, fresh: list[tuple[int, int, float, float]], tail: tuple[int, int, int, bytes] | None
) -> Iterator[dict[str, Any]]:
    """The rows that hold new points; the last chunk is filled up, as the same row, before a new one is begun."""
    points = np.array(fresh, dtype=POINT)
    if tail is not None:
        _, last, count, data = tail
        points = points[points["step"] > last]
        if len(points) and count < CHUNK_POINTS:
            points = np.concatenate([np.frombuffer(data, POINT), points])
    for start in range(0, len(points), CHUNK_POINTS):
        yield {"series_id": series_id, **_columns(points[start : start + CHUNK_POINTS])}


def _columns(points: Points) -> dict[str, Any]:
    return {
        "first_step": int(points["step"][0]),
        "last_step": int(points["step"][-1]),
        "count": len(points),
        "data": points.tobytes(),
        "sketch": sketch(points).tobytes() if len(points) == CHUNK_POINTS else None,
    }


def sketch(points: Points) -> Points:
    """Of a full chunk: its ends, the smallest and the largest of each 32 points, one NaN and one of each infinity."""
    value = points["value"]
    rows = value.reshape(-1, SKETCH_STRIDE)
    finite = np.isfinite(rows)
    offsets = np.arange(0, len(value), SKETCH_STRIDE)
    lowest = offsets + np.where(finite, rows, np.inf).argmin(axis=1)
    highest = offsets + np.where(finite, rows, -np.inf).argmax(axis=1)
    odd = [np.flatnonzero(test)[:1] for test in (np.isnan(value), np.isposinf(value), np.isneginf(value))]
    drawn: Points = points[np.unique(np.concatenate([[0, len(value) - 1], lowest, highest, *odd]))]
    return drawn


def _replacing(session: Session) -> Executable:
    insertion = upsert(session, ChunkRow)
    replaced = {name: insertion.excluded[name] for name in ("last_step", "count", "sketch", "data")}
    return insertion.on_conflict_do_update(index_elements=["series_id", "first_step"], set_=replaced)


def truncate_after(session: Session, job_id: str, step: int) -> None:
    """Drops every point and epoch after `step`: a resumed run writes them again."""
    ids = select(SeriesRow.id).where(SeriesRow.job_id == job_id)
    session.execute(delete(ChunkRow).where(ChunkRow.series_id.in_(ids), ChunkRow.first_step > step))
    straddling = select(ChunkRow).where(ChunkRow.series_id.in_(ids), ChunkRow.last_step > step)
    for row in session.execute(straddling).scalars().all():
        points = np.frombuffer(row.data, POINT)
        kept = _columns(points[points["step"] <= step])
        place = (ChunkRow.series_id == row.series_id, ChunkRow.first_step == row.first_step)
        session.execute(update(ChunkRow).where(*place).values(kept))
    session.execute(delete(EpochRow).where(EpochRow.job_id == job_id, EpochRow.step > step))


def names(session: Session, job_id: str) -> list[str]:
    """Names of a job's series, sorted."""
    return list(
        session.execute(select(SeriesRow.name).where(SeriesRow.job_id == job_id).order_by(SeriesRow.name)).scalars()
    )


def read(
    session: Session,
    job_id: str,
    wanted: Sequence[str] | None = None,
    *,
    from_step: int = 0,
    max_points: int | None = None,
) -> dict[str, Points]:
    """Points of each wanted series (default: all) from `from_step` on, at most `max_points` each (MinMaxLTTB).

    The points that are kept are real ones; extremes, the first and the last point and values that are not finite stay.
    """
    named = select(SeriesRow.name, SeriesRow.id).where(SeriesRow.job_id == job_id).order_by(SeriesRow.name)
    if wanted is not None:
        named = named.where(SeriesRow.name.in_(wanted))
    ids = [(row.name, row.id) for row in session.execute(named)]
    found = {name: _points(session, series_id, from_step, max_points) for name, series_id in ids}
    return {name: downsample(points, max_points) for name, points in found.items() if len(points)}


def _points(session: Session, series_id: int, from_step: int, max_points: int | None) -> Points:
    """One series in the order of its primary key: nothing is sorted, however long it is; from sketches if very long."""
    place = (ChunkRow.series_id == series_id, ChunkRow.last_step >= from_step)
    kept: ColumnElement[bytes] = ChunkRow.data.expression
    if max_points is not None:
        count = session.execute(select(func.sum(ChunkRow.count)).where(*place)).scalar_one() or 0
        kept = func.coalesce(ChunkRow.sketch, ChunkRow.data) if count > SKETCHED_FROM * max_points else kept
    data = session.execute(select(kept).where(*place).order_by(ChunkRow.first_step)).scalars()
    points = np.frombuffer(b"".join(data), POINT)
    return points[np.searchsorted(points["step"], from_step) :]


def downsample(points: Points, max_points: int | None) -> Points:
    """At most about `max_points` of the points, chosen so that the picture stays the same."""
    if max_points is None or len(points) <= max_points:
        return points
    is_finite = np.isfinite(points["value"])
    finite, odd = np.flatnonzero(is_finite), np.flatnonzero(~is_finite)[: max_points // 2]
    room = max(max_points - len(odd), 3)
    if len(finite) > room:
        downsampler: Any = MinMaxLTTBDownsampler
        regular = points if len(finite) == len(points) else points[finite]
        x, y = np.ascontiguousarray(regular["step"]), np.ascontiguousarray(regular["value"])
        finite = finite[downsampler().downsample(x, y, n_out=room)]
    chosen: Points = points[np.union1d(finite, odd)]
    return chosen


def epochs(session: Session, job_id: str) -> list[EpochRow]:
    """The job's epochs in order."""
    return list(session.execute(select(EpochRow).where(EpochRow.job_id == job_id).order_by(EpochRow.epoch)).scalars())
