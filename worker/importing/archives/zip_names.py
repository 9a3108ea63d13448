"""The names of a zip archive's entries as they were meant: by the UTF-8 flag, by Info-ZIP's field, or as all agree."""

import re
import struct
import zipfile
import zlib
from collections.abc import Sequence

UTF8 = 0x800
UNICODE_PATH = 0x7075
FIELD = struct.Struct("<HH")
SECOND_BYTE = re.compile(rb"([\x81-\x9f\xe0-\xfc])\\")
ODD_NAMES = "Names in the archive are in an encoding that it does not tell, so names of classes may look odd."
VERSION_AND_CRC = struct.Struct("<BL")


def entry_names(entries: Sequence[zipfile.ZipInfo]) -> list[str]:
    """A name for each entry. NULs stay in them: zipfile cuts its own names there.

    Without flag or field a name is UTF-8 where those of all entries are: many programs write it without saying so.
    Else it is DOS's code page 437, which any bytes are: names of other code pages are odd, and each is one of its own.
    """
    raw = [None if entry.flag_bits & UTF8 else entry.orig_filename.encode("cp437") for entry in entries]
    encoding = "utf-8" if all(_is_utf8(name) for name in raw if name is not None) else "cp437"
    return [
        entry.orig_filename if name is None else _unicode_path(entry.extra, name) or _decoded(name, encoding)
        for entry, name in zip(entries, raw, strict=True)
    ]


def is_odd(name: str, entry: zipfile.ZipInfo) -> bool:
    """Whether a name may not look as it did where the archive was made."""
    is_cp437 = name == entry.orig_filename or name == _decoded(entry.orig_filename.encode("cp437", "replace"), "cp437")
    return not name.isascii() and not entry.flag_bits & UTF8 and is_cp437


def _decoded(name: bytes, encoding: str) -> str:
    """The name; a backslash that is the second byte of a Japanese or Chinese letter is no separator."""
    if encoding == "cp437" and b"/" in name:
        name = SECOND_BYTE.sub(rb"\1_", name)
    return name.decode(encoding)


def _unicode_path(extra: bytes, name: bytes) -> str | None:
    """Info-ZIP's Unicode path, where the entry has one that was made for this very name."""
    while len(extra) >= FIELD.size:
        kind, size = FIELD.unpack_from(extra)
        field, extra = extra[FIELD.size : FIELD.size + size], extra[FIELD.size + size :]
        if kind == UNICODE_PATH and len(field) == size > VERSION_AND_CRC.size:
            version, crc = VERSION_AND_CRC.unpack_from(field)
            if version == 1 and crc == zlib.crc32(name):
                return field[VERSION_AND_CRC.size :].decode("utf-8", "replace")
    return None


def _is_utf8(name: bytes) -> bool:
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True
