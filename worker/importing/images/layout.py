"""ImageFolder layouts: which file is a sample of which class and split.

`class/...`, or `train|val|test/class/...`; one or more folders around everything are looked through.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from service.errors import ImportRefusedError
from worker.importing.archives.listing import Listing, Member
from worker.importing.images.recognition import pictures_of
from worker.importing.names import printable
from worker.importing.splits import SPLIT_NAMES, TRAIN


@dataclass(frozen=True, slots=True)
class Picture:
    """A file that is a sample, with its class and its split, where it has one."""

    file: Member
    label: str
    split: int | None

    @property
    def name(self) -> str:
        """The file's, in characters that every store takes."""
        return printable(self.file.name)


@dataclass
class Arrangement:
    """The samples in the order of their names, and the names of the classes."""

    pictures: list[Picture]
    classes: list[str]
    has_splits: bool


def arrange(listing: Listing) -> Arrangement:
    """Sorts a container's files into samples and others; what is no sample is listed with the reason."""
    images = pictures_of(listing)
    paths = _without_wrapping([member.name.split("/") for member in images])
    has_splits = _has_splits(paths)
    pictures = []
    for member, parts in zip(images, paths, strict=True):
        split = SPLIT_NAMES.get(parts[0].lower()) if has_splits and len(parts) > 1 else None
        folders = parts[1:-1] if has_splits else parts[:-1]
        if has_splits and split is None:
            listing.ignore(member.name, "outside the folders train, val and test")
        elif not folders:
            listing.ignore(member.name, "not in the folder of a class")
        else:
            pictures.append(Picture(member, printable(folders[0]), split))
    classes = sorted({picture.label for picture in pictures})
    if len(classes) < 2:
        raise ImportRefusedError("layout-no-classes", _advice(len(images), classes))
    return Arrangement(pictures, classes, has_splits)


def _without_wrapping(paths: list[list[str]]) -> list[list[str]]:
    """The paths without the folders that hold everything, as long as folders for classes are left."""
    while paths and _is_wrapping(paths):
        paths = [parts[1:] if len(parts) > 1 else parts for parts in paths]
    return paths


def _is_wrapping(paths: list[list[str]]) -> bool:
    tops = {parts[0] for parts in paths}
    return len(tops) == 1 and next(iter(tops)).lower() not in SPLIT_NAMES and any(len(parts) > 2 for parts in paths)


def _has_splits(paths: Iterable[list[str]]) -> bool:
    tops = {parts[0].lower() for parts in paths if len(parts) > 2}
    numbers = {SPLIT_NAMES[top] for top in tops if top in SPLIT_NAMES}
    return TRAIN in numbers and (len(numbers) > 1 or len(tops) == 1)


def _advice(images: int, classes: list[str]) -> str:
    if not images:
        return "no pictures were found; a dataset of images is a folder for each class, with its pictures in it"
    if not classes:
        return f"{images:,} pictures, none in the folder of a class: class/picture.jpg, or train/class/picture.jpg"
    return f"all pictures are of one class, `{classes[0]}`; there is nothing to tell apart"
