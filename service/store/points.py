"""Points of a series, packed in chunks: cutting, joining, sketching and downsampling arrays of them.

A chunk holds consecutive points of one series as `POINT` records (28 bytes a point: a million points are 28 MB and some
two thousand rows). NaN and infinities are stored as they are. A full chunk also has a sketch of itself, a sixteenth of
its points with every extreme among them: what a long series is downsampled from.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tsdownsample import MinMaxLTTBDownsampler

POINT = np.dtype([("step", "<i8"), ("epoch", "<i4"), ("value", "<f8"), ("time", "<f8")])
"""One point: optimizer step, epoch, value, seconds since 1970 (UTC)."""
CHUNK_POINTS = 512
SKETCH_STRIDE = 32
Points = NDArray[np.void]


def chunks(
    new: list[tuple[int, int, float, float]], tail: tuple[int, int, int, bytes] | None
) -> Iterator[dict[str, Any]]:
    """Columns of the rows that hold new points (step, epoch, value, time) after `tail`, the last chunk so far.

    `tail` is its first step, last step, count and data: it is filled up, as the same row, before a new one is begun.
    """
    points = np.array(new, dtype=POINT)
    if tail is not None:
        _, last, count, data = tail
        points = points[points["step"] > last]
        if len(points) and count < CHUNK_POINTS:
            points = np.concatenate([np.frombuffer(data, POINT), points])
    for start in range(0, len(points), CHUNK_POINTS):
        yield _columns(points[start : start + CHUNK_POINTS])


def cut(data: bytes, last_step: int) -> dict[str, Any]:
    """Columns of a chunk without the points after `last_step`."""
    points = np.frombuffer(data, POINT)
    return _columns(points[points["step"] <= last_step])


def joined(data: Iterable[bytes], from_step: int) -> Points:
    """The points of consecutive chunks, from `from_step` on."""
    points = np.frombuffer(b"".join(data), POINT)
    return points[np.searchsorted(points["step"], from_step) :]


def ends(points: Points, head: int, tail: int) -> Points:
    """The first `head` and the last `tail` points, and the first one that is not finite."""
    if len(points) <= head + tail:
        return points
    nonfinite = np.flatnonzero(~np.isfinite(points["value"]))[:1]
    last = np.arange(len(points) - tail, len(points))
    kept: Points = points[np.unique(np.concatenate([np.arange(head), nonfinite, last]))]
    return kept


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
    nonfinite = [np.flatnonzero(test)[:1] for test in (np.isnan(value), np.isposinf(value), np.isneginf(value))]
    sketched: Points = points[np.unique(np.concatenate([[0, len(value) - 1], lowest, highest, *nonfinite]))]
    return sketched


def downsample(points: Points, max_points: int | None) -> Points:
    """At most `max_points` (3 or more) of the points, chosen so that the curve looks the same: its smallest and largest
    finite values and its last one are among them.
    """
    if max_points is None or len(points) <= max_points:
        return points
    value = points["value"]
    is_finite = np.isfinite(value)
    finite, nonfinite = np.flatnonzero(is_finite), np.flatnonzero(~is_finite)[: max(max_points - 3, 0) // 2]
    most = max_points - len(nonfinite)
    if len(finite) > most:
        kept = finite[np.array([np.argmin(value[finite]), np.argmax(value[finite]), len(finite) - 1])]
        if most >= 6:  # three more are what the algorithm can choose at least
            downsampler: Any = MinMaxLTTBDownsampler
            x, y = np.ascontiguousarray(points["step"][finite]), np.ascontiguousarray(value[finite])
            kept = np.union1d(kept, finite[downsampler().downsample(x, y, n_out=most - 3)])
        finite = kept
    chosen: Points = points[np.union1d(finite, nonfinite)]
    return chosen
