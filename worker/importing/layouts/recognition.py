"""Which files of a container are pictures: by their names, else by their first bytes."""

from posixpath import splitext

from service.pictures.signatures import HEAD_BYTES, is_picture, other_kind
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
        is_unknown = suffix not in PICTURE_SUFFIXES | OTHER_SUFFIXES | UNREAD_SUFFIXES
        head = first_bytes(member, HEAD_BYTES) if is_unknown else b""
        if suffix in PICTURE_SUFFIXES or is_picture(head):
            pictures.append(member)
        elif (kind := other_kind(head) or "").endswith(("picture", "DICOM file")):
            listing.refuse(member.name, f"{kind}, which is not read; convert it to PNG or JPEG")
        elif suffix in UNREAD_SUFFIXES:
            kind = suffix[1:].upper()
            listing.refuse(member.name, f"pictures of the kind {kind} are not read; convert it to PNG or JPEG")
        else:
            listing.ignore(member.name, "not a picture")
    return sorted(pictures, key=lambda member: member.name.encode("utf-8", "surrogateescape"))


def suffix_of(name: str) -> str:
    """The suffix of a file's name, in small letters."""
    return splitext(name)[1].lower()
