"""Datasets that torchvision knows by name: found under the data roots, or downloaded; read part by part."""

import fcntl
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from service.errors import ImportRefusedError
from service.events import Log, Phase, Progress
from service.specs.dataset import ImportOptions, TorchvisionSource
from worker.engine.context import RunContext
from worker.engine.runtime.torchvision_shim import download_timeout
from worker.importing.archives.folder import regular_file
from worker.importing.archives.listing import Faulty, Member
from worker.importing.images.pictures import load_pictures
from worker.importing.known.catalog import KNOWN, Part
from worker.importing.known.torchvision_part import IN_MEMORY, OpenedPart, merge, open_part
from worker.importing.layouts.arrangement import Arrangement, Picture
from worker.importing.names import printable
from worker.importing.npy_rows import create_rows, grow_rows, open_rows
from worker.importing.raw_data import RawData, Reading

PROGRESS_ROWS = 5000
NEVER = "N/A"
"""What EMNIST calls label 0 of its letters, which start at 1."""


def load_torchvision_set(source: TorchvisionSource, roots: Sequence[Path], context: RunContext) -> Reading:
    """Images of a classification dataset with the labels and splits that torchvision's own class gives them."""
    name = source.name
    variant = source.variant or next(iter(KNOWN[name].variants))
    parts = KNOWN[name].variants[variant]
    root = find_root(name, parts, roots, context.data_roots)
    opened: Iterator[OpenedPart]
    if isinstance(root, Path):
        opened = (open_part(name, variant, part, root) for part in parts)
    elif source.download:
        yield Phase("downloading")
        opened = _download(name, variant, parts, context)
    else:
        raise root
    if name in IN_MEMORY:
        return (yield from _pack(opened, len(parts), context.scratch))
    return (yield from _decode(opened, source.options, context))


def find_root(
    name: str, parts: Sequence[Part], roots: Sequence[Path], data_roots: Sequence[Path]
) -> Path | ImportRefusedError:
    """The folder that holds all that the parts need: a root, a folder of the dataset's name in it, or the one above.

    Else the refusal that says what is missing where.
    """
    needs = list(dict.fromkeys(need for part in parts for need in part.needs))
    allowed = [root.resolve() for root in data_roots]
    lacking: dict[Path, list[str]] = {}
    for folder in (near for root in roots for near in (root, root / name, root / name.lower(), root.parent)):
        lacking[folder] = [need for need in needs if not _is_there(folder / need, allowed)]
        if not lacking[folder]:
            return folder
    places = ", ".join(str(root) for root in roots) or "none is set"
    detail = f"no files of {name} under the data roots ({places}): torchvision expects {_listed(needs)}"
    nearest = min(lacking, key=lambda folder: len(lacking[folder]), default=None)
    if nearest is not None and len(lacking[nearest]) < len(needs):
        detail += f"; {nearest} lacks {_listed(lacking[nearest])}"
    return ImportRefusedError("files-not-found", detail)


def _is_there(path: Path, allowed: Sequence[Path]) -> bool:
    return path.exists() and any(path.resolve().is_relative_to(root) for root in allowed)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names[:10]) + (" and more" if len(names) > 10 else "")


def _download(name: str, variant: str, parts: Sequence[Part], context: RunContext) -> Iterator[OpenedPart]:
    """The parts, from files that torchvision fetches into the service's own folder."""
    if context.downloads is None:
        raise ImportRefusedError(
            "downloads-off",
            f"no files of {name} are under the data roots, and downloads are off (TRAINWRIGHT_ALLOW_DOWNLOADS)",
        )
    if not KNOWN[name].can_download:
        raise ImportRefusedError("download-impossible", f"{name} cannot be downloaded; put its files under a data root")
    folder = context.downloads / name
    with _alone(folder), download_timeout():
        # Archives come from servers that are not ours: nothing may be written outside the folder.
        tarfile.TarFile.extraction_filter = staticmethod(tarfile.data_filter)
        for part in parts:
            yield open_part(name, variant, part, folder, download=True)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One import at a time downloads into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _decode(parts: Iterator[OpenedPart], options: ImportOptions, context: RunContext) -> Reading:
    """Lists every part's files, then has them decoded; files that are missing are named as corrupt."""
    downloads = [context.downloads] if context.downloads else []
    allowed = [root.resolve() for root in (*context.data_roots, *downloads)]
    pictures: list[Picture] = []
    missing: list[dict[str, str]] = []
    names: list[list[str]] = []
    for opened in parts:
        names.append(opened.names)
        for path, label in opened.pictures():
            shown = printable(str(path.relative_to(opened.root)))
            file = regular_file(path, allowed)
            if isinstance(file, Faulty):
                missing.append({"file": shown, "reason": file.reason})
            else:
                pictures.append(Picture(Member(shown, str(file)), label, opened.part.split))
    classes = merge(names, (picture.label for picture in pictures))
    has_splits = any(picture.split is not None for picture in pictures)
    if not pictures:
        raise ImportRefusedError("files-not-found", f"none of {len(missing):,} pictures is there: {missing[:3]}")
    raw = yield from load_pictures(Arrangement(pictures, classes, has_splits), options, context)
    raw.corrupt = [*missing, *raw.corrupt]
    return raw


def _pack(parts: Iterator[OpenedPart], count: int, scratch: Path) -> Reading:
    """Copies the pixels that torchvision's classes hold in memory, one part at a time."""
    path = scratch / "packed" / "x.npy"
    path.parent.mkdir(parents=True, exist_ok=True)
    names: list[list[str]] = []
    labels: list[str] = []
    splits: list[int | None] = []
    for number, opened in enumerate(parts):
        if not opened.is_labelled():
            yield Log(f"{', '.join(opened.part.needs)}: no labels, left out", "warning")
            continue
        names.append(opened.names)
        rows = None
        for index, (pixels_HWC, label) in enumerate(opened.pixels()):
            rows = _add_rows(path, len(labels), len(opened), pixels_HWC.shape) if rows is None else rows
            if pixels_HWC.shape != rows.shape[1:]:
                raise ImportRefusedError("files-damaged", f"{opened.name}: pictures of different sizes")
            rows[len(labels)] = pixels_HWC
            labels.append(label)
            if index % PROGRESS_ROWS == 0:
                yield Progress(0.7 * (number + index / len(opened)) / count, len(labels))
        splits += [opened.part.split] * (len(labels) - len(splits))
    if not labels:
        raise ImportRefusedError("files-damaged", "there are no labels")
    classes = [name for name in merge(names, labels) if name != NEVER or NEVER in labels]
    place_of = {name: index for index, name in enumerate(classes)}
    return RawData(
        x=open_rows(path),
        y=np.array([place_of[label] for label in labels], np.int64),
        classes=classes,
        split=np.array(splits, np.uint8) if splits[0] is not None else None,
    )


def _add_rows(path: Path, before: int, more: int, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """The packed array with rows for one more part."""
    if before:
        grow_rows(path, more)
    else:
        create_rows(path, (more, *shape), np.dtype(np.uint8))
    return open_rows(path)
