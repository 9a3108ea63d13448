"""Folders and archives of pictures: decoded in parallel into the packed array, at the size that suits them."""

import shutil
import time
from collections import Counter
from collections.abc import Callable, Collection, Generator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from service.errors import ImportRefusedError
from service.events import DatasetProfiled, Event, Log, Phase, Progress
from service.pictures import Shape
from service.reports.finding import Finding
from service.specs.dataset import ImportOptions
from worker.engine.context import RunContext
from worker.importing.archives.listing import Faulty, Listing
from worker.importing.arrays.packing import FEW_LEVELS, Numbers, check_range
from worker.importing.checks.profile import unread_profile
from worker.importing.findings import finding, note
from worker.importing.images.decoder import THUMB_SIDE, Plan
from worker.importing.images.pool import Decoded, Decoders, Outcome
from worker.importing.layouts.arrangement import Arrangement, Picture, arrange
from worker.importing.layouts.recognition import PICTURE_SUFFIXES
from worker.importing.npy_rows import create_rows, keep_rows, open_rows
from worker.importing.raw_data import Input, RawData, Reading

DEFAULT_SIDE = 256
STRIP = 3
"""Pictures more than so many times as long as wide are kept whole where all are of one size."""
THIN = 8
SAMPLE = 256
"""Headers that the size is guessed from; a guess that proves wrong costs a second pass."""
PROGRESS_SECONDS = 0.5
GREY = {"1", "L", "LA", "I", "F", "I;16", "I;16B", "I;16L", "I;16N"}
TRANSPARENT = ("RGBA", "LA", "PA", "La", "RGBa")
SUFFIXES = {"JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"), "PNG": (".png", ".apng"), "TIFF": (".tif", ".tiff"),
            "AVIF": (".avif", ".avifs")}  # fmt: skip
Decoding = Generator[Event, None, list[Outcome]]


def load_listed(listing: Listing, source: Input) -> Reading:
    """The pictures of an archive or a folder, class by class."""
    try:
        arrangement = arrange(listing, source.options)
    except ImportRefusedError:
        yield DatasetProfiled(unread_profile(listing.corrupt, listing.ignored))
        raise
    raw = yield from load_pictures(arrangement, source.options, source.context)
    raw.corrupt, raw.ignored = [*listing.corrupt, *raw.corrupt], listing.ignored
    return raw


def load_pictures(arrangement: Arrangement, options: ImportOptions, context: RunContext) -> Reading:
    """Decodes every picture; returns the samples that could be read, in the order of their names."""
    yield Phase("decoding")
    pictures, folder = arrangement.pictures, context.scratch / "packed"
    with Decoders() as decoders:
        sample = pictures[:: max(len(pictures) // SAMPLE, 1)]
        headers = yield from _decode(decoders, sample, Shape(1, 1, 3), folder, probe=True)
        shape, numbers = choose_shape(_good(headers), options.image_size), None
        for _ in range(2):
            outcomes = yield from _decode(decoders, pictures, shape, folder, numbers)
            fitting = choose_shape(_good(outcomes), options.image_size), numbers_of(_good(outcomes))
            if fitting == (shape, numbers) or not _good(outcomes):
                break
            if fitting[0] != shape:
                size = f"{fitting[0].width} x {fitting[0].height}"
                yield Log(f"the pictures are more mixed than it seemed: packed again at {size}")
            shape, numbers = fitting
    return _gather(arrangement, outcomes, folder)


def choose_shape(decoded: Sequence[Decoded], side: int | None) -> Shape:
    """The shape to pack at: the pictures' own when they are small and alike, else a square."""
    if not decoded:
        return Shape(side or 8, side or 8, 3)
    sizes = {picture.size for picture in decoded}
    channels = 1 if all(picture.mode in GREY for picture in decoded) else 3
    width, height = next(iter(sizes))
    is_small = max(width, height) <= DEFAULT_SIDE
    is_strip = max(width, height) > STRIP * min(width, height) and width * height <= DEFAULT_SIDE**2
    if len(sizes) == 1 and side is None and (is_small or is_strip):
        return Shape(height, width, channels)
    square = side or min(DEFAULT_SIDE, max(min(size) for size in sizes))
    _refuse_thin(sizes, square)
    return Shape(square, square, channels)


def numbers_of(decoded: Sequence[Decoded]) -> Numbers | None:
    """The range of all pictures of more than 8 bits; None where there are none."""
    spans = [picture.span for picture in decoded if picture.span is not None]
    if not spans:
        return None
    dtype = "float32" if any(picture.mode == "F" for picture in decoded) else "int32"
    return Numbers(dtype, min(low for low, _ in spans), max(high for _, high in spans), 0)


def _refuse_thin(sizes: Collection[tuple[int, int]], square: int) -> None:
    """Refuses pictures of which next to nothing would be left: a square out of a line of pixels."""
    longest, shortest = max(max(size) for size in sizes), max(min(size) for size in sizes)
    if shortest < THIN and longest > STRIP * shortest:
        raise ImportRefusedError(
            "pictures-too-thin",
            f"the pictures have at most {shortest} pixels in one way and up to {longest:,} in the other; the part "
            f"of {square} x {square} that is kept would show next to nothing. Bring all to one size of at most "
            f"{DEFAULT_SIDE**2:,} pixels, which is kept whole, pad them, or import their numbers as a table or an npz.",
        )


def _good(outcomes: Sequence[Outcome]) -> list[Decoded]:
    return [outcome for outcome in outcomes if isinstance(outcome, Decoded)]


def _decode(
    decoders: Decoders,
    pictures: Sequence[Picture],
    shape: Shape,
    folder: Path,
    numbers: Numbers | None = None,
    *,
    probe: bool = False,
) -> Decoding:
    """Decodes all pictures into `x.npy` and their thumbnails into `thumbs.npy`."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = 0 if probe else len(pictures)
    _check_disk(folder, rows * (int(np.prod(shape)) + THUMB_SIDE**2))
    x, thumbs = folder / "x.npy", folder.parent / "thumbs.npy"
    offset = create_rows(x, (rows, *shape), np.dtype(np.uint8))
    thumbs_offset = create_rows(thumbs, (rows, THUMB_SIDE, THUMB_SIDE), np.dtype(np.uint8))
    plan = Plan(*shape, str(x), offset, str(thumbs), thumbs_offset, probe, scale=numbers.scale() if numbers else None)
    outcomes: dict[int, Outcome] = {}
    reported = time.monotonic()
    for done in decoders.decode([picture.file for picture in pictures], plan):
        if done is not None:
            outcomes[done[0]] = done[1]
        if time.monotonic() - reported > PROGRESS_SECONDS:
            reported = time.monotonic()
            share = 0.0 if probe else 0.75 * len(outcomes) / len(pictures)
            yield Progress(share, len(outcomes), len(pictures))
    return [outcomes[index] for index in range(len(pictures))]


def _check_disk(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > 0.9 * free:
        raise ImportRefusedError(
            "disk-too-small",
            f"the packed pictures need {needed / 2**30:,.1f} GiB and the worker has {free / 2**30:,.1f} GiB; "
            "choose a smaller image_size",
        )


def _gather(arrangement: Arrangement, outcomes: Sequence[Outcome], folder: Path) -> RawData:
    """The samples that were decoded; the rows of the others are taken out of the packed array."""
    keep_N = np.array([isinstance(outcome, Decoded) for outcome in outcomes])
    for path in (folder / "x.npy", folder.parent / "thumbs.npy"):
        keep_rows(path, keep_N)
    pictures = [picture for picture, is_kept in zip(arrangement.pictures, keep_N, strict=True) if is_kept]
    names = [picture.name for picture in pictures]
    decoded = _good(outcomes)
    number = {name: index for index, name in enumerate(arrangement.classes)}
    return RawData(
        x=open_rows(folder / "x.npy"),
        y=np.array([number[picture.label] for picture in pictures], np.int64),
        classes=arrangement.classes,
        split=np.array([picture.split for picture in pictures], np.uint8) if arrangement.has_splits else None,
        names=names,
        sizes=dict(Counter(f"{facts.size[0]}x{facts.size[1]}" for facts in decoded).most_common()),
        modes=dict(Counter(facts.mode for facts in decoded).most_common()),
        thumbs=open_rows(folder.parent / "thumbs.npy"),
        file_hashes=[facts.file for facts in decoded],
        row_hashes=[facts.row for facts in decoded],
        notes=[*arrangement.notes, *_notes(names, decoded), *_check_deep(decoded, folder / "x.npy")],
        corrupt=[
            {"file": picture.name, "reason": outcome.reason}
            for picture, outcome in zip(arrangement.pictures, outcomes, strict=True)
            if isinstance(outcome, Faulty)
        ],
    )


def _notes(names: Sequence[str], decoded: Sequence[Decoded]) -> list[Finding | None]:
    """What was done to single pictures on the way."""
    pairs = list(zip(names, decoded, strict=True))
    return [
        note(rule, [name for name, facts in pairs if concerns(name, facts)], explanation)
        for rule, concerns, explanation in NOTES
    ]


def _check_deep(decoded: Sequence[Decoded], path: Path) -> list[Finding | None]:
    """P2 and P33: by what scale pictures of more than 8 bits were brought to 8, and whether that left few levels."""
    numbers, notes = numbers_of(decoded), list[Finding | None]()
    if numbers is not None:
        notes.append(check_range(numbers))
        if numbers.dtype == "float32" or numbers.scale()[0] < 1:
            spanned = [index for index, picture in enumerate(decoded) if picture.span is not None]
            why = f"their numbers run from {numbers.low:g} to {numbers.high:g}, and most use little of that range"
            notes.append(_check_levels(open_rows(path), spanned, why))
    halved = [index for index, picture in enumerate(decoded) if picture.is_halved]
    why = "of 16 bits a channel in colour the upper 8 are read; spread the numbers over all bits, or save 8"
    return [*notes, _check_levels(open_rows(path), halved, why)]


def _check_levels(rows: NDArray[np.uint8], deep: Sequence[int], why: str) -> Finding | None:
    """P33 where pictures of more than 8 bits keep few grey levels."""
    seen = np.zeros(256, bool)
    for index in deep:
        seen[rows[index]] = True
    levels = int(seen.sum())
    if not deep or levels >= FEW_LEVELS:
        return None
    return finding(
        "P33", "warning", f"{levels} grey levels are left of {len(deep):,} pictures of more than 8 bits: {why}.",
        "Look for single pictures with far larger numbers than the others, and use the whole range of the file's bits.",
        levels=levels, samples_concerned=len(deep),
    )  # fmt: skip


def _is_misnamed(name: str, facts: Decoded) -> bool:
    suffix, kind = Path(name).suffix.lower(), facts.format
    named = next((formats for formats, suffixes in SUFFIXES.items() if suffix in suffixes), suffix[1:].upper())
    is_named = suffix in PICTURE_SUFFIXES and not (suffix == ".dib" and kind == "BMP")
    return is_named and named != kind and kind != "PPM"


NOTES: tuple[tuple[str, Callable[[str, Decoded], bool], str], ...] = (
    ("P20", lambda _, facts: facts.mode in TRANSPARENT, "transparent pictures were laid on a white ground"),
    (
        "P21",
        lambda _, facts: facts.mode.startswith(("I", "F")) or facts.is_halved,
        "pictures of 16 or more bits a channel were brought to 8",
    ),
    ("P22", lambda _, facts: facts.turned, "pictures were turned the right way up, as their EXIF data say"),
    ("P23", lambda _, facts: facts.frames > 1, "pictures have several frames or pages; the first of each was taken"),
    ("P24", _is_misnamed, "pictures are of another kind than their names say; they were read"),
)
