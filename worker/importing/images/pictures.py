"""Folders and archives of pictures: decoded in parallel into the packed array, at the size that suits them."""

import shutil
import time
from collections import Counter
from collections.abc import Generator, Sequence
from pathlib import Path

import numpy as np

from service.errors import ImportRefusedError
from service.events import Event, Log, Phase, Progress
from service.reports.finding import Finding
from service.specs.dataset import ImportOptions
from worker.engine.context import RunContext
from worker.importing.arrays.npy import create_rows, keep_rows, open_rows
from worker.importing.checks.findings import note
from worker.importing.images.layout import Arrangement
from worker.importing.images.pool import Decoded, Decoders, Faulty, Outcome, Picture, Plan
from worker.importing.raw_data import RawData

DEFAULT_SIDE = 256
SAMPLE = 256
"""Headers that the size is guessed from; a guess that proves wrong costs a second pass."""
THUMB_BYTES = 32 * 32
TELL_SECONDS = 0.5
GREY = {"1", "L", "LA", "I", "F", "I;16", "I;16B", "I;16L", "I;16N"}
SUFFIXES = {"JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"), "PNG": (".png", ".apng"), "TIFF": (".tif", ".tiff")}
Shape = tuple[int, int, int]
Decoding = Generator[Event, None, list[Outcome]]


def load_pictures(found: Arrangement, options: ImportOptions, context: RunContext) -> Generator[Event, None, RawData]:
    """Decodes every picture; returns the samples that could be read, in the order of their names."""
    yield Phase("decoding")
    pictures, folder = found.pictures, context.scratch / "packed"
    with Decoders() as decoders:
        sample = pictures[:: max(len(pictures) // SAMPLE, 1)]
        headers = yield from _pass(decoders, sample, (1, 1, 3), folder, probe=True)
        shape = choose_shape(_good(headers), options.image_size)
        for _ in range(2):
            outcomes = yield from _pass(decoders, pictures, shape, folder)
            fitting = choose_shape(_good(outcomes), options.image_size)
            if fitting == shape or not _good(outcomes):
                break
            shape = fitting
            yield Log(f"the pictures are more mixed than it seemed: packed again at {shape[1]} x {shape[0]}")
    return _gather(found, outcomes, folder)


def choose_shape(decoded: Sequence[Decoded], side: int | None) -> Shape:
    """Height, width and channels to pack at: the pictures' own when they are small and alike, else a square."""
    if not decoded:
        return (side or 8, side or 8, 3)
    sizes = {each.size for each in decoded}
    channels = 1 if all(each.mode in GREY for each in decoded) else 3
    width, height = next(iter(sizes))
    if len(sizes) == 1 and side is None and max(width, height) <= DEFAULT_SIDE:
        return (height, width, channels)
    square = side or min(DEFAULT_SIDE, max(min(size) for size in sizes))
    return (square, square, channels)


def _good(outcomes: Sequence[Outcome]) -> list[Decoded]:
    return [each for each in outcomes if isinstance(each, Decoded)]


def _pass(
    decoders: Decoders, pictures: Sequence[Picture], shape: Shape, folder: Path, *, probe: bool = False
) -> Decoding:
    """Decodes all pictures into `x.npy` and their thumbnails into `thumbs.npy`."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = 0 if probe else len(pictures)
    _check_room(folder, rows * (int(np.prod(shape)) + THUMB_BYTES))
    x, thumbs = folder / "x.npy", folder.parent / "thumbs.npy"
    offset = create_rows(x, (rows, *shape), np.dtype(np.uint8))
    thumbs_offset = create_rows(thumbs, (rows, 32, 32), np.dtype(np.uint8))
    plan = Plan(shape[0], shape[1], shape[2], x, offset, thumbs, thumbs_offset, probe)
    outcomes: dict[int, Outcome] = {}
    told = time.monotonic()
    for done in decoders.decode(pictures, plan):
        if done is not None:
            outcomes[done[0]] = done[1]
        if time.monotonic() - told > TELL_SECONDS:
            told = time.monotonic()
            share = 0.0 if probe else 0.75 * len(outcomes) / len(pictures)
            yield Progress(share, len(outcomes), len(pictures))
    return [outcomes[index] for index in range(len(pictures))]


def _check_room(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > 0.9 * free:
        raise ImportRefusedError(
            "disk-too-small",
            f"the packed pictures need {needed / 2**30:,.1f} GiB and the worker has {free / 2**30:,.1f} GiB; "
            "choose a smaller image_size",
        )


def _gather(found: Arrangement, outcomes: Sequence[Outcome], folder: Path) -> RawData:
    """The samples that were decoded; the rows of the others are taken out of the packed array."""
    keep_N = np.array([isinstance(each, Decoded) for each in outcomes])
    for path in (folder / "x.npy", folder.parent / "thumbs.npy"):
        keep_rows(path, keep_N)
    pictures = [picture for picture, kept in zip(found.pictures, keep_N, strict=True) if kept]
    decoded = _good(outcomes)
    number = {name: index for index, name in enumerate(found.classes)}
    return RawData(
        x=open_rows(folder / "x.npy"),
        y=np.array([number[picture.label] for picture in pictures], np.int64),
        classes=found.classes,
        split=np.array([picture.split for picture in pictures], np.uint8) if found.has_splits else None,
        names=[picture.name for picture in pictures],
        sizes=dict(Counter(f"{each.size[0]}x{each.size[1]}" for each in decoded).most_common()),
        modes=dict(Counter(each.mode for each in decoded).most_common()),
        thumbs=open_rows(folder.parent / "thumbs.npy"),
        file_hashes=[each.file for each in decoded],
        row_hashes=[each.row for each in decoded],
        notes=_notes(pictures, decoded),
        corrupt=[
            {"file": picture.name, "reason": outcome.reason}
            for picture, outcome in zip(found.pictures, outcomes, strict=True)
            if isinstance(outcome, Faulty)
        ],
    )


def _notes(pictures: Sequence[Picture], decoded: Sequence[Decoded]) -> list[Finding | None]:
    """What was done to single pictures on the way."""
    pairs = list(zip(pictures, decoded, strict=True))
    deep = [picture.name for picture, each in pairs if each.mode.startswith(("I", "F"))]
    clear = [picture.name for picture, each in pairs if each.mode in ("RGBA", "LA", "PA", "La", "RGBa")]
    renamed = [picture.name for picture, each in pairs if _is_renamed(picture.name, each.format)]
    return [
        note("P20", "transparent", clear, "transparent pictures were laid on a white ground"),
        note("P21", "deep", deep, "pictures of 16 or more bits a channel were brought to 8"),
        note(
            "P22", "turned", [picture.name for picture, each in pairs if each.turned],
            "pictures were turned the right way up, as their EXIF data say",
        ),
        note(
            "P23", "animated", [picture.name for picture, each in pairs if each.frames > 1],
            "of animated pictures the first frame was taken",
        ),
        note("P24", "misnamed", renamed, "pictures are of another kind than their names say; they were read"),
    ]  # fmt: skip


def _is_renamed(name: str, kind: str) -> bool:
    suffix = Path(name).suffix.lower()
    known = next((formats for formats, suffixes in SUFFIXES.items() if suffix in suffixes), suffix[1:].upper())
    return bool(suffix) and known != kind and kind != "PPM" and not (suffix == ".dib" and kind == "BMP")
