"""Which files of a container are pictures: by their names, else by their first bytes."""

from pathlib import PurePosixPath

from service.pictures.signatures import HEAD_BYTES, is_picture
from worker.importing.archives.listing import Listing, Member, first_bytes

PICTURE_SUFFIXES = frozenset({
    ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".bmp", ".dib", ".gif", ".tif", ".tiff",
    ".ppm", ".pgm", ".pbm", ".pnm", ".avif", ".avifs",
})  # fmt: skip
UNREAD_SUFFIXES = frozenset({
    ".heic", ".heif", ".svg", ".jp2", ".j2k", ".psd", ".ico", ".tga", ".raw", ".cr2", ".nef", ".arw", ".dng", ".exr",
    ".pcx", ".eps", ".jxl", ".dcm",
})  # fmt: skip
OTHER_SUFFIXES = frozenset({
    ".txt", ".csv", ".tsv", ".json", ".jsonl", ".xml", ".yaml", ".yml", ".md", ".html", ".htm", ".pdf", ".py", ".ipynb",
    ".parquet", ".feather", ".arrow", ".mat", ".npy", ".npz", ".xlsx", ".db", ".log", ".mp4", ".avi", ".mov", ".wav",
    ".mp3", ".ini",
})  # fmt: skip
"""Files whose first bytes are not looked at."""


def pictures_of(listing: Listing) -> list[Member]:
    """The pictures in the order of their names; what is none stays listed by `others_of`."""
    pictures = []
    for member in listing.members.values():
        suffix = suffix_of(member.name)
        if suffix in PICTURE_SUFFIXES or (suffix not in OTHER_SUFFIXES and is_picture(first_bytes(member, HEAD_BYTES))):
            pictures.append(member)
        elif suffix in UNREAD_SUFFIXES:
            kind = suffix[1:].upper()
            listing.refuse(member.name, f"pictures of the kind {kind} are not read; convert it to PNG or JPEG")
        else:
            listing.ignore(member.name, "not a picture")
    return sorted(pictures, key=lambda member: member.name.encode("utf-8", "surrogateescape"))


def suffix_of(name: str) -> str:
    """The suffix of a file's name, in small letters."""
    return PurePosixPath(name).suffix.lower()
