"""Arrays of numbers -> packed rows: images as uint8, features as float32; piece by piece, whatever their size.

One scale makes bytes of all splits, so that equal brightness stays equal.

Shapes: images (N,H,W), (N,H,W,C) or (N,C,H,W); features (N,F) or (N,).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.errors import ImportRefusedError
from service.reports.finding import Finding
from worker.importing.findings import finding
from worker.importing.npy_rows import create_rows, open_rows

Array = NDArray[Any]
PIECE_BYTES = 2**24
MAX_SIDE = 4096
LARGEST = float(np.finfo(np.float32).max)
"""What is larger is as good as infinite."""
MAX_FEATURES = 2**20
FEW_LEVELS = 100
"""Of grey; with fewer, a range is not used."""
MOST = 0.6
"""Share of 0 to the largest number that is used at least where 0 stays black."""


@dataclass(frozen=True)
class Numbers:
    """Type and range of the numbers of some arrays, and how many are missing: NaN, infinite or as good as that."""

    dtype: str
    low: float
    high: float
    missing: int

    def scale(self) -> tuple[float, float]:
        """What makes 0-255 of them (`value * scale + shift`): by the range they are meant for, 0 to 1 or 0 to 255,
        unless too few grey levels would be left; else by their own.
        """
        low, high = self.low, self.high
        for top in (1.0, 255.0):
            is_used = np.dtype(self.dtype).kind != "f" or high - low >= FEW_LEVELS / 255 * top
            if low >= 0 and high <= top and is_used:
                return 255.0 / top, 0.0
        base = 0.0 if low >= 0 and high - low >= MOST * high else low
        factor = 255.0 / (high - base) if high > base else 0.0
        return factor, -base * factor

    def notes(self, *, is_image: bool) -> list[Finding | None]:
        """What the numbers were before."""
        return [check_range(self) if is_image else None, _check_type(self, is_image=is_image)]


def check_range(numbers: Numbers) -> Finding | None:
    """P2: pictures whose numbers are no brightness from 0 to 1 or 0 to 255."""
    if numbers.scale() in ((255.0, 0.0), (1.0, 0.0)):
        return None
    is_normalised = numbers.low < 0
    return finding(
        "P2", "warning" if is_normalised else "info",
        f"The pictures' numbers run from {numbers.low:g} to {numbers.high:g}"
        + (": they look normalised already" if is_normalised else "") + ". They were spread over 0 to 255, by the "
        "range of the whole dataset, which rounds them.",
        "Hand in the pictures as they were (0 to 255, or 0 to 1), and let the training normalise them."
        if is_normalised else "Nothing; predictions need the same scale.",
        low=numbers.low, high=numbers.high, scale=numbers.scale()[0],
    )  # fmt: skip


def check_levels(xs: Sequence[Array], rows: NDArray[np.uint8], titles: Sequence[str]) -> Finding | None:
    """P33: a split of which bytes keep few of the grey levels that it had."""
    told, at, fewest = [], 0, FEW_LEVELS
    for x, title in zip(xs, titles, strict=True):
        levels = _count(rows[at : at + len(x)])
        at += len(x)
        if levels < FEW_LEVELS and _count(x, enough=levels + 1) > levels:
            low, high = (float(piece) for piece in (x.min(), x.max()))
            told.append(f"{levels} in {title} (numbers from {low:g} to {high:g})")
            fewest = min(fewest, levels)
    if not told:
        return None
    return finding(
        "P33", "warning",
        f"Few grey levels are left of what the pictures had: {', '.join(told)}. One scale is used for all splits, by "
        "the range of all their numbers.",
        "Look for a split that was scaled and another that was not, or for single numbers far from the others.",
        levels=fewest, splits=told,
    )  # fmt: skip


def _count(array: Array, enough: int = 256) -> int:
    """Different numbers of an array, as far as `enough`."""
    values = np.zeros(0, array.dtype)
    for piece in _pieces([array]):
        values = np.union1d(values, np.unique(piece))
        if len(values) >= enough:
            break
    return len(values)


def _check_type(numbers: Numbers, *, is_image: bool) -> Finding | None:
    """P3: another type than the one that is kept."""
    if numbers.dtype in (("uint8",) if is_image else ("float32", "float16")):
        return None
    explanation = (
        f"The pictures were numbers of type {numbers.dtype}; they are kept as bytes (uint8) and become float32 on the "
        "way into the network."
        if is_image
        else f"The features were of type {numbers.dtype}; networks compute in float32, and so are they kept."
    )
    return finding("P3", "info", explanation, "Nothing.", dtype=numbers.dtype)


def scan(xs: Sequence[Array]) -> Numbers:
    """Looks at every number once."""
    if xs[0].dtype.kind not in "iufb" or any(x.dtype.kind in "US" for x in xs):
        raise ImportRefusedError("npz-dtype", f"samples of type {xs[0].dtype}; numbers are needed")
    low, high, missing = np.inf, -np.inf, 0
    for piece in _pieces(xs):
        values = piece.astype(np.float64)
        is_finite = np.abs(values) <= LARGEST
        missing += int(is_finite.size - is_finite.sum())
        if is_finite.any():
            low, high = min(low, float(values[is_finite].min())), max(high, float(values[is_finite].max()))
    if low > high:
        raise ImportRefusedError("no-numbers", "there is not one finite number in the samples")
    return Numbers(str(np.result_type(*(x.dtype for x in xs))), low, high, missing)


def pack_images(xs: Sequence[Array], numbers: Numbers, path: Path) -> NDArray[np.uint8]:
    """Images on the disk, (N,H,W,C) with one or three channels."""
    if numbers.missing:
        raise ImportRefusedError("not-finite", f"{numbers.missing:,} numbers of the pictures are NaN or infinite")
    place = channel_axis(xs[0].shape)
    shape = _plain(xs[0][:1], place).shape[1:]
    scale, shift = numbers.scale()
    create_rows(path, (sum(len(x) for x in xs), *shape), np.dtype(np.uint8))
    rows, at = open_rows(path), 0
    for piece in _pieces(xs):
        images = piece if piece.dtype == np.uint8 and (scale, shift) == (1.0, 0.0) else _bytes(piece, scale, shift)
        rows[at : at + len(piece)] = _plain(images, place)
        at += len(piece)
    return rows


def pack_features(xs: Sequence[Array], path: Path) -> NDArray[np.float32]:
    """Features on the disk; numbers too large for float32 become infinite, and so missing."""
    width = int(np.prod(xs[0].shape[1:]))
    if xs[0].ndim > 2 or not 0 < width <= MAX_FEATURES:
        raise ImportRefusedError(
            "npz-shape", f"samples of shape {xs[0].shape[1:]} are neither features nor images (H,W), (H,W,C), (C,H,W)"
        )
    create_rows(path, (sum(len(x) for x in xs), width), np.dtype(np.float32))
    rows, at = open_rows(path), 0
    with np.errstate(over="ignore"):
        for piece in _pieces(xs):
            rows[at : at + len(piece)] = piece.reshape(len(piece), -1)
            at += len(piece)
    return rows


def channel_axis(shape: tuple[int, ...]) -> int | None:
    """Which axis of (N, ...) holds the channels: the last, or the first after N; None for grey (N,H,W)."""
    if len(shape) == 3:
        place = None
    elif shape[3] in (1, 3, 4):
        place = 3
    elif shape[1] in (1, 3, 4):
        place = 1
    else:
        raise ImportRefusedError("npz-shape", f"pictures of shape {shape[1:]} have neither 1, 3 nor 4 channels")
    height, width = (shape[2], shape[3]) if place == 1 else (shape[1], shape[2])
    if not (0 < height <= MAX_SIDE and 0 < width <= MAX_SIDE):
        raise ImportRefusedError("npz-shape", f"pictures of {width} x {height} pixels; at most {MAX_SIDE} a side")
    return place


def _plain(images: Array, place: int | None) -> Array:
    """(N,H,W,C) with one or three channels; transparent ones on white."""
    ordered = images[..., None] if place is None else np.moveaxis(images, place, -1)
    if ordered.shape[-1] != 4:
        return ordered
    alpha = ordered[..., 3:].astype(np.float32) / 255
    return np.round(ordered[..., :3] * alpha + 255 * (1 - alpha)).astype(np.uint8)


def _bytes(piece: Array, scale: float, shift: float) -> NDArray[np.uint8]:
    return np.clip(np.round(piece.astype(np.float64) * scale + shift), 0, 255).astype(np.uint8)


def _pieces(xs: Sequence[Array]) -> Iterator[Array]:
    for x in xs:
        step = max(PIECE_BYTES // max(x[:1].nbytes, 1), 1)
        for start in range(0, len(x), step):
            yield x[start : start + step]
