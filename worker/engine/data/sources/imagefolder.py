"""ImageFolder layout: `class/picture`, or `train|val|test/class/picture`; one folder around it all is tolerated."""

from collections import Counter
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from service.errors import ImportRefusedError
from service.specs.dataset import ImportOptions
from worker.engine.data.images import GREY_MODES, SUFFIXES, UnreadableImageError, decode, open_image
from worker.engine.data.raw import RawData
from worker.engine.data.sources.entries import Entry, open_entries

SPLIT_NAMES = {"train": 0, "training": 0, "val": 1, "valid": 1, "validation": 1, "test": 2, "testing": 2}
NATIVE_SIDE = 256
"""Pictures of one size up to this side keep it; others are packed as squares of this side."""


@dataclass(frozen=True)
class Picture:
    """A file that is a picture by its name and place."""

    entry: Entry
    label: str
    split: int | None


@dataclass
class Headers:
    """What the pictures' headers say: name -> (width, height) and mode; name -> reason for those that have none."""

    sizes: dict[str, tuple[int, int]]
    modes: dict[str, str]
    corrupt: dict[str, str]


def load_imagefolder(path: Path, options: ImportOptions, scratch: Path) -> Generator[float, None, RawData]:
    """Yields progress (0 to 1), returns the raw data; the arrays lie in a memory map under `scratch`."""
    with open_entries(path) as entries:
        pictures, ignored = arrange(entries)
        if not pictures:
            raise ImportRefusedError("no-images", "no pictures in the layout `class/picture.jpg` were found")
        headers = yield from _read_headers(pictures)
        readable = [picture for picture in pictures if picture.entry.name in headers.sizes]
        side, shape = _shape(headers, options)
        x = open_memmap(scratch / "decoded.npy", mode="w+", dtype=np.uint8, shape=(len(readable), *shape))
        kept: list[Picture] = []
        for number, picture in enumerate(readable):
            try:
                x[len(kept)] = decode(picture.entry.read(), grey=shape[2] == 1, side=side)
                kept.append(picture)
            except UnreadableImageError as error:
                headers.corrupt[picture.entry.name] = str(error)
            if number % 100 == 0:
                yield 0.3 + 0.7 * number / len(readable)
    _refuse_corrupt(headers.corrupt, options)
    if not kept:
        raise ImportRefusedError("no-images", "none of the pictures could be decoded")
    return _raw(kept, x[: len(kept)], headers, ignored)


def arrange(entries: list[Entry]) -> tuple[list[Picture], list[dict[str, str]]]:
    """Pictures with class and split by their place; what is no picture or lies elsewhere is listed with the reason."""
    paths = {entry.name: PurePosixPath(entry.name).parts for entry in entries}
    visible = [entry for entry in entries if not _is_hidden(paths[entry.name])]
    depth = _common_depth([paths[entry.name] for entry in visible])
    pictures: list[Picture] = []
    ignored: list[dict[str, str]] = []
    for entry in entries:
        parts = paths[entry.name]
        if _is_hidden(parts):
            ignored.append({"file": entry.name, "reason": "hidden file"})
            continue
        split = SPLIT_NAMES.get(parts[depth].lower()) if len(parts) - depth >= 3 else None
        folders = parts[depth + (split is not None) : -1]
        if not parts[-1].lower().endswith(SUFFIXES):
            ignored.append({"file": entry.name, "reason": "no picture by its name"})
        elif not folders:
            ignored.append({"file": entry.name, "reason": "not inside a class folder"})
        else:
            pictures.append(Picture(entry, folders[0], split))
    return pictures, ignored


def _is_hidden(parts: tuple[str, ...]) -> bool:
    return any(part.startswith(".") or part in ("__MACOSX", "Thumbs.db", "desktop.ini") for part in parts)


def _common_depth(paths: list[tuple[str, ...]]) -> int:
    """1 when everything lies in one outer folder that is not itself the only class."""
    tops = {parts[0] for parts in paths}
    inner = {parts[1] for parts in paths if len(parts) > 2}
    return 1 if len(tops) == 1 and inner and all(len(parts) > 1 for parts in paths) else 0


def _read_headers(pictures: list[Picture]) -> Generator[float, None, Headers]:
    headers = Headers({}, {}, {})
    for number, picture in enumerate(pictures):
        try:
            image = open_image(picture.entry.read())
            headers.sizes[picture.entry.name], headers.modes[picture.entry.name] = image.size, image.mode
        except UnreadableImageError as error:
            headers.corrupt[picture.entry.name] = str(error)
        if number % 100 == 0:
            yield 0.3 * number / len(pictures)
    return headers


def _shape(headers: Headers, options: ImportOptions) -> tuple[int | None, tuple[int, int, int]]:
    """The side to resize to (None: keep the size) and the packed shape (H, W, C)."""
    channels = 1 if all(mode in GREY_MODES - {"LA", "La"} for mode in headers.modes.values()) else 3
    sizes = set(headers.sizes.values())
    if options.image_size is None and len(sizes) == 1:
        width, height = next(iter(sizes))
        if max(width, height) <= NATIVE_SIDE:
            return None, (height, width, channels)
    side = options.image_size or min(NATIVE_SIDE, max((max(size) for size in sizes), default=NATIVE_SIDE))
    return side, (side, side, channels)


def _refuse_corrupt(corrupt: dict[str, str], options: ImportOptions) -> None:
    if corrupt and not options.drop_corrupt:
        named = "; ".join(f"{name}: {reason}" for name, reason in list(corrupt.items())[:20])
        raise ImportRefusedError(
            "corrupt-files",
            f"{len(corrupt)} pictures cannot be read ({named}). Set `drop_corrupt` to leave them out.",
        )


def _raw(kept: list[Picture], x: NDArray[np.uint8], headers: Headers, ignored: list[dict[str, str]]) -> RawData:
    classes = sorted({picture.label for picture in kept})
    number = {name: index for index, name in enumerate(classes)}
    given = [picture.split for picture in kept]
    split = None if None in given else np.array(given, dtype=np.uint8)
    return RawData(
        x=x,
        y=np.array([number[picture.label] for picture in kept], dtype=np.int64),
        classes=classes,
        split=split,
        names=[picture.entry.name for picture in kept],
        sizes=dict(Counter(f"{width}x{height}" for width, height in headers.sizes.values()).most_common(100)),
        modes=dict(Counter(headers.modes.values())),
        corrupt=[{"file": name, "reason": reason} for name, reason in headers.corrupt.items()],
        ignored=ignored,
    )
