"""Zip archives: the members' places, read from the central directory; nothing is unpacked here."""

import stat
import struct
import zipfile
import zlib
from pathlib import Path
from typing import BinaryIO

from service.errors import ImportRefusedError
from worker.importing.archives.listing import MAX_ENTRIES, MAX_NAME, Listing, Member, link_target
from worker.importing.archives.zip_names import ODD_NAMES, entry_names, is_odd
from worker.importing.names import printable
from worker.importing.raw_data import Input

FAULTS = (zipfile.BadZipFile, OSError, ValueError, EOFError, struct.error, RuntimeError, zlib.error, KeyError)
LOCAL_HEADER = struct.Struct("<4s5H3L2H")
MAX_DIRECTORY_BYTES = MAX_ENTRIES * (46 + MAX_NAME + 100)
TAIL_BYTES = 2**16 + 22
ENCRYPTED = 0x1


def is_zip(file: Input) -> bool:
    """Whether it begins as a zip archive does, even an empty one."""
    return file.head().startswith((b"PK\3\4", b"PK\5\6"))


def list_zip(path: Path) -> Listing:
    """The files of a zip archive; ImportRefusedError with the hazard's code when it has one."""
    listing = Listing(packed_bytes=path.stat().st_size)
    try:
        with path.open("rb") as file:
            _count(file)
            with zipfile.ZipFile(file) as archive:
                entries = archive.infolist()
                names = entry_names(entries)
                if any(map(is_odd, names, entries)):
                    listing.said.append(ODD_NAMES)
                taken = [
                    _add(listing, file, path, archive, info, name) for info, name in zip(entries, names, strict=True)
                ]
    except FAULTS as error:
        raise ImportRefusedError("archive-malformed", f"the zip archive is damaged: {printable(str(error))}") from error
    _refuse_overlaps([span for span in taken if span is not None])
    listing.follow_links()
    return listing


def _count(file: BinaryIO) -> None:
    """Refuses too many entries before the directory is held in memory."""
    file.seek(0, 2)
    size = file.tell()
    start = max(size - TAIL_BYTES, 0)
    file.seek(start)
    tail = file.read()
    at = tail.rfind(b"PK\5\6")
    if at < 0 or len(tail) < at + 20:
        return  # zipfile says what is wrong
    length, offset = struct.unpack_from("<LL", tail, at + 12)
    if 0xFFFFFFFF in (length, offset) and (locator := tail.rfind(b"PK\6\6", 0, at)) >= 0:
        length = struct.unpack_from("<Q", tail, locator + 40)[0] if len(tail) >= locator + 48 else length
    if length > MAX_DIRECTORY_BYTES:
        raise ImportRefusedError("archive-too-many-entries", f"its directory has {length / 2**20:,.0f} MiB")
    file.seek(max(start + at - length, 0))
    if file.read(length).count(b"PK\1\2") > MAX_ENTRIES:
        raise ImportRefusedError("archive-too-many-entries", f"more than {MAX_ENTRIES:,} entries")
    file.seek(0)


def _add(
    listing: Listing, file: BinaryIO, path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo, given: str
) -> tuple[int, int] | None:
    """Takes one entry; the part of the file that it covers."""
    kind = stat.S_IFMT(info.external_attr >> 16)
    is_folder = given.endswith(("/", "\\")) or kind == stat.S_IFDIR
    name = listing.enter(given, is_folder=is_folder)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK):
        raise ImportRefusedError("archive-device", f"`{printable(info.filename)}` is no file")
    if info.flag_bits & ENCRYPTED:
        raise ImportRefusedError("archive-encrypted", f"`{printable(info.filename)}` is encrypted")
    if is_folder:
        return None
    listing.weigh(info.filename, info.file_size, info.compress_size)
    if name is None:
        return None
    if kind == stat.S_IFLNK:
        if info.file_size > MAX_NAME * 4:
            raise ImportRefusedError("archive-link", f"`{printable(name)}` is a link of {info.file_size:,} bytes")
        listing.links[name] = link_target(name, archive.read(info).decode("utf-8", "surrogateescape"))
        return None
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ImportRefusedError(
            "archive-compression", f"`{printable(name)}` is packed by method {info.compress_type}; use deflate"
        )
    start = _data_start(file, info)
    listing.members[name] = Member(
        name, str(path), start, info.compress_size, info.compress_type, info.file_size, info.CRC
    )
    return (info.header_offset, start + info.compress_size)


def _data_start(file: BinaryIO, info: zipfile.ZipInfo) -> int:
    file.seek(info.header_offset)
    head = file.read(LOCAL_HEADER.size)
    if len(head) < LOCAL_HEADER.size or head[:4] != b"PK\3\4":
        raise zipfile.BadZipFile(f"no local header for {info.filename}")
    *_, name_length, extra_length = LOCAL_HEADER.unpack(head)
    return info.header_offset + LOCAL_HEADER.size + int(name_length) + int(extra_length)


def _refuse_overlaps(spans: list[tuple[int, int]]) -> None:
    """Entries that share bytes are the trick of the best bombs."""
    end = 0
    for first, last in sorted(spans):
        if first < end:
            raise ImportRefusedError("archive-bomb", "entries of the zip archive overlap")
        end = last
