"""Metric series: packed chunks of points (see `points`), written in batches and read back as arrays."""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Executable, delete, func, insert, select, update
from sqlalchemy.orm import Session, aliased

from service.events import EpochRecord, StepRecord
from service.store.session import now, upsert
from service.store.tables import ChunkRow, EpochRow, SeriesRow

if TYPE_CHECKING:
    from service.store.points import Points

# NumPy takes a seventh of the API's import time, so `points` is imported when the first series is written or read.

SKETCHED_FROM = 64
"""Stored points for each requested one from which on a series is read from its sketches."""


def write(session: Session, job_id: str, records: Sequence[StepRecord | EpochRecord]) -> None:
    """Appends points in the order of their steps; call it under a fence (`attempts.lock`).

    A record that comes again (same series, a step not above the last one) is passed over: writing is idempotent.
    """
    from service.store import points as packing

    time = now(session).timestamp()
    new: dict[str, list[tuple[int, int, float, float]]] = defaultdict(list)
    for record in records:
        for name, value in _values(record):
            new[name].append((record.step, record.epoch, value, time))
    ids = _series_ids(session, job_id, list(new))
    tails = _tails(session, list(ids.values()))
    rows = [
        {"series_id": ids[name], **chunk}
        for name, points in new.items()
        for chunk in packing.chunks(points, tails.get(ids[name]))
    ]
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
    # `val/loss` is what people look for; the same numbers are under `epoch/` beside those of train.
    return (named | {f"val/{name}": value for name, value in record.val.items()} | {"epoch/lr": record.lr}).items()


def _epoch_data(record: EpochRecord) -> dict[str, Any]:
    def plain(values: dict[str, float]) -> dict[str, float | str]:
        return {name: value if math.isfinite(value) else str(value) for name, value in values.items()}

    return {
        "train": plain(record.train),
        "val": plain(record.val),
        "probes": plain(record.probes),
        "lr": record.lr,
        "seconds": record.seconds,
        "is_best": record.is_best,
    }


def _series_ids(session: Session, job_id: str, names: list[str]) -> dict[str, int]:
    query = select(SeriesRow.name, SeriesRow.id).where(SeriesRow.job_id == job_id)
    known = {row.name: row.id for row in session.execute(query)}
    missing = [name for name in names if name not in known]
    if missing:
        session.execute(insert(SeriesRow), [{"job_id": job_id, "name": name} for name in missing])
        known = {row.name: row.id for row in session.execute(query)}
    return {name: known[name] for name in names}


def _tails(session: Session, ids: list[int]) -> dict[int, tuple[int, int, int, bytes]]:
    """The last chunk of each series: first step, last step, count, data."""
    other = aliased(ChunkRow)
    newest = (
        select(func.max(other.first_step)).where(other.series_id == SeriesRow.id).correlate(SeriesRow).scalar_subquery()
    )
    query = (
        select(ChunkRow.series_id, ChunkRow.first_step, ChunkRow.last_step, ChunkRow.count, ChunkRow.data)
        .join(SeriesRow, SeriesRow.id == ChunkRow.series_id)
        .where(SeriesRow.id.in_(ids), ChunkRow.first_step == newest)
    )
    return {row[0]: (row[1], row[2], row[3], row[4]) for row in session.execute(query)}


def _replacing(session: Session) -> Executable:
    insertion = upsert(session, ChunkRow)
    replaced = {name: insertion.excluded[name] for name in ("last_step", "count", "sketch", "data")}
    return insertion.on_conflict_do_update(index_elements=["series_id", "first_step"], set_=replaced)


def truncate_after(session: Session, job_id: str, step: int) -> None:
    """Deletes every point and epoch after `step`: a resumed run writes them again."""
    from service.store import points as packing

    ids = select(SeriesRow.id).where(SeriesRow.job_id == job_id)
    session.execute(delete(ChunkRow).where(ChunkRow.series_id.in_(ids), ChunkRow.first_step > step))
    straddling = select(ChunkRow).where(ChunkRow.series_id.in_(ids), ChunkRow.last_step > step)
    for row in session.execute(straddling).scalars().all():
        place = (ChunkRow.series_id == row.series_id, ChunkRow.first_step == row.first_step)
        session.execute(update(ChunkRow).where(*place).values(packing.cut(row.data, step)))
    session.execute(delete(EpochRow).where(EpochRow.job_id == job_id, EpochRow.step > step))


def names(session: Session, job_id: str) -> list[str]:
    """Names of a job's series, sorted."""
    return list(
        session.execute(select(SeriesRow.name).where(SeriesRow.job_id == job_id).order_by(SeriesRow.name)).scalars()
    )


def read(
    session: Session,
    job_id: str,
    only: Sequence[str] | None = None,
    *,
    from_step: int = 0,
    max_points: int | None = None,
) -> dict[str, "Points"]:
    """Points of each series, or only of those named, from `from_step` on, at most `max_points` each (MinMaxLTTB).

    The points that are kept are real ones; extremes, the first and the last point and values that are not finite stay.
    """
    from service.store import points as packing

    named = select(SeriesRow.name, SeriesRow.id).where(SeriesRow.job_id == job_id).order_by(SeriesRow.name)
    if only is not None:
        named = named.where(SeriesRow.name.in_(only))
    ids = [(row.name, row.id) for row in session.execute(named)]
    series = {name: _points(session, series_id, from_step, max_points) for name, series_id in ids}
    return {name: packing.downsample(points, max_points) for name, points in series.items() if len(points)}


def _points(session: Session, series_id: int, from_step: int, max_points: int | None) -> "Points":
    """One series in the order of its primary key: nothing is sorted, however long it is; from sketches if very long."""
    from service.store import points as packing

    place = (ChunkRow.series_id == series_id, ChunkRow.last_step >= from_step)
    kept: ColumnElement[bytes] = ChunkRow.data.expression
    if max_points is not None:
        count = session.execute(select(func.sum(ChunkRow.count)).where(*place)).scalar_one() or 0
        kept = func.coalesce(ChunkRow.sketch, ChunkRow.data) if count > SKETCHED_FROM * max_points else kept
    data = session.execute(select(kept).where(*place).order_by(ChunkRow.first_step)).scalars()
    return packing.joined(data, from_step)


def epochs(session: Session, job_id: str) -> list[EpochRow]:
    """The job's epochs in order."""
    return list(session.execute(select(EpochRow).where(EpochRow.job_id == job_id).order_by(EpochRow.epoch)).scalars())
