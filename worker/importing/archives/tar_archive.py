"""Tar archives, compressed or not: a compressed one is unpacked to a plain one in the scratch folder."""

import bz2
import gzip
import lzma
import os
import struct
import tarfile
import zlib
from collections.abc import Callable
from io import BufferedIOBase
from pathlib import Path

from service.errors import ImportRefusedError
from worker.importing.archives.listing import MAX_ENTRIES, Listing, Member, link_target, safe_name, weigh
from worker.importing.names import printable
from worker.importing.raw_data import Input

FAULTS = (
    tarfile.TarError, OSError, ValueError, EOFError, OverflowError, KeyError, IndexError, struct.error, zlib.error,
    lzma.LZMAError, RecursionError,
)  # fmt: skip
PIECE_BYTES = 2**20
BLOCK = tarfile.BLOCKSIZE
EXTENSIONS = (
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
)
"""Headers that only say more of the next one."""
MAX_HEADER_BYTES = 2**20
"""Of one extended header: tarfile holds it in memory."""
OPENERS: tuple[tuple[bytes, Callable[[Path], BufferedIOBase]], ...] = (
    (b"\x1f\x8b", gzip.GzipFile),
    (b"BZh", bz2.BZ2File),
    (b"\xfd7zXZ\0", lzma.LZMAFile),
)


def is_tar(file: Input) -> bool:
    """Whether it begins as a tar archive does, or as a compressed file that may be one."""
    head = file.head()
    return head[257:262] == b"ustar" or any(head.startswith(magic) for magic, _ in OPENERS)


def list_tar(path: Path, scratch: Path) -> Listing:
    """The files of a tar archive; ImportRefusedError with the hazard's code when it has one."""
    listing = Listing(packed_bytes=path.stat().st_size)
    try:
        plain = _plain(path, scratch, listing.packed_bytes)
        _count(plain)
        with tarfile.open(plain, "r:", tarinfo=_Header) as archive:
            for info in archive:
                _add(listing, plain, info)
                archive.__dict__["members"].clear()  # it would keep them all
    except FAULTS as error:
        raise ImportRefusedError("archive-malformed", f"the tar archive is damaged: {printable(str(error))}") from error
    listing.follow_links()
    return listing


def _plain(path: Path, scratch: Path, packed_bytes: int) -> Path:
    with path.open("rb") as file:
        head = file.read(8)
    opener = next((opener for magic, opener in OPENERS if head.startswith(magic)), None)
    if opener is None:
        return path
    target, unpacked = scratch / "unpacked.tar", 0
    with opener(path) as source, target.open("wb") as file:
        while piece := source.read(PIECE_BYTES):
            unpacked += len(piece)
            weigh(unpacked, packed_bytes)
            file.write(piece)
    return target


def _count(plain: Path) -> None:
    """Refuses too many entries ten times as fast as tarfile reads them. What it does not understand is left to that."""
    entries, offset = 0, 0
    with plain.open("rb", buffering=0) as file:
        while len(head := os.pread(file.fileno(), BLOCK, offset)) == BLOCK:
            try:
                size = int(head[124:136].rstrip(b" \0") or b"0", 8)
            except ValueError:  # not an octal number
                return
            if size < 0:
                return
            entries += head[156:157] not in EXTENSIONS and any(head[:8])
            if entries > MAX_ENTRIES:
                raise ImportRefusedError("archive-too-many-entries", f"more than {MAX_ENTRIES:,} entries")
            offset += BLOCK + -(-size // BLOCK) * BLOCK


class _Header(tarfile.TarInfo):
    """A header whose extensions have a sane size."""

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        if self.type in EXTENSIONS and self.size > MAX_HEADER_BYTES:
            raise tarfile.ReadError(f"an extended header of {self.size:,} bytes")
        member: tarfile.TarInfo = super()._proc_member(archive)  # type: ignore[misc]
        return member


def _add(listing: Listing, plain: Path, info: tarfile.TarInfo) -> None:
    name = listing.enter(info.name, is_folder=info.isdir())
    if info.isdir():
        return
    if info.islnk() or info.issym():
        target = safe_link(info)
        if name is not None:
            listing.links[name] = target
        return
    if not info.isreg():
        raise ImportRefusedError("archive-device", f"`{printable(info.name)}` is no file")
    if info.issparse():
        raise ImportRefusedError("archive-sparse", f"`{printable(info.name)}` is a sparse file")
    if name is not None:
        listing.weigh(name, info.size, max(info.size, 1))
        listing.members[name] = Member(name, str(plain), info.offset_data, info.size, 0, info.size)


def safe_link(info: tarfile.TarInfo) -> str:
    """The member that a link stands for: a hard link names it from the top, a symbolic one from its own folder."""
    if info.issym():
        return link_target(safe_name(info.name), info.linkname)
    try:
        return safe_name(info.linkname)
    except ImportRefusedError as error:
        raise ImportRefusedError("archive-link", f"`{printable(info.name)}` is a hard link: {error.detail}") from error
