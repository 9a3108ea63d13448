"""The files of a folder, a zip or a tar archive, one by one: nothing is ever unpacked to disk.

Refused as a whole, each with a code of its own: absolute paths, `..`, NUL, links, devices, duplicate names, names that
differ only in case, too many entries or bytes, the compression ratio of a bomb. Real bytes are counted, not headers.
"""

import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO

from service.errors import ImportRefusedError

MAX_ENTRIES = 200_000
MAX_TOTAL_BYTES = 20 * 2**30
MAX_FILE_BYTES = 512 * 2**20
MAX_RATIO = 100
MAX_PATH = 255
RATIO_FREE_BYTES = 2**20
"""Small files may be compressed as well as they like."""


@dataclass(frozen=True)
class Entry:
    """One regular file: its slash-separated name and its bytes."""

    name: str
    read: Callable[[], bytes]


@contextmanager
def open_entries(path: Path) -> Iterator[list[Entry]]:
    """Every file of a folder or an archive, by name; ImportRefusedError for what is neither, or not safe."""
    if path.is_dir():
        yield _folder(path)
    elif zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            yield _zip(archive)
    elif tarfile.is_tarfile(path):
        with tarfile.open(path) as archive:
            yield _tar(archive)
    else:
        raise ImportRefusedError("archive-unknown", f"{path.name} is neither a folder nor a zip or tar archive")


def _folder(root: Path) -> list[Entry]:
    files = sorted(file for file in root.rglob("*") if file.is_file())
    inside = [file for file in files if file.resolve().is_relative_to(root.resolve())]
    _check_names([file.relative_to(root).as_posix() for file in inside])
    return [Entry(file.relative_to(root).as_posix(), _limited(partial(file.open, "rb"))) for file in inside]


def _zip(archive: zipfile.ZipFile) -> list[Entry]:
    members = [member for member in archive.infolist() if not member.is_dir()]
    _check_names([member.filename for member in members])
    for member in members:
        kind = member.external_attr >> 16
        if stat.S_ISLNK(kind) or (stat.S_IFMT(kind) and not stat.S_ISREG(kind)):
            raise ImportRefusedError(
                "archive-link", f"{member.filename} is a link or a device; only files are accepted"
            )
        if member.flag_bits & 1:
            raise ImportRefusedError("archive-encrypted", f"{member.filename} is encrypted")
        _check_ratio(member.filename, member.file_size, member.compress_size)
    _check_total(member.file_size for member in members)
    return [Entry(member.filename, _limited(partial(archive.open, member))) for member in members]


def _tar(archive: tarfile.TarFile) -> list[Entry]:
    members: list[tarfile.TarInfo] = []
    for member in archive:  # read member by member: a bomb is noticed before it is read to its end
        if member.isdir():
            continue
        if not member.isreg():
            raise ImportRefusedError("archive-link", f"{member.name} is a link or a device; only files are accepted")
        members.append(member)
        if len(members) > MAX_ENTRIES:
            break
    _check_names([member.name for member in members])
    _check_total(member.size for member in members)
    return [Entry(member.name, _limited(partial(_extract, archive, member))) for member in members]


def _extract(archive: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    opened = archive.extractfile(member)
    if opened is None:
        raise ImportRefusedError("archive-link", f"{member.name} is not a file")
    return opened


def _limited(opener: Callable[[], IO[bytes]]) -> Callable[[], bytes]:
    """Reads a whole file, but never more than the limit, whatever a header said."""

    def read() -> bytes:
        with opener() as file:
            data = file.read(MAX_FILE_BYTES + 1)
        if len(data) > MAX_FILE_BYTES:
            raise ImportRefusedError("archive-bomb", f"a file unpacks to more than {MAX_FILE_BYTES >> 20} MiB")
        return data

    return read


def _check_names(names: list[str]) -> None:
    if len(names) > MAX_ENTRIES:
        raise ImportRefusedError("archive-too-many-entries", f"more than {MAX_ENTRIES:,} files")
    for name in names:
        parts = PurePosixPath(name).parts
        if "\0" in name or len(name) > MAX_PATH:
            raise ImportRefusedError("archive-name", f"a file name holds a NUL or is over {MAX_PATH} characters")
        if name.startswith("/") or "\\" in name or (parts and parts[0].endswith(":")):
            raise ImportRefusedError("archive-absolute-path", f"{name!r} is an absolute path")
        if ".." in parts:
            raise ImportRefusedError("archive-traversal", f"{name!r} leads out of the archive")
    if len(set(names)) < len(names):
        raise ImportRefusedError("archive-duplicate", "two files have the same name")
    if len({name.casefold() for name in names}) < len(names):
        raise ImportRefusedError("archive-case-collision", "two file names differ only in upper and lower case")


def _check_ratio(name: str, size: int, compressed: int) -> None:
    if size > RATIO_FREE_BYTES and size > MAX_RATIO * max(compressed, 1):
        raise ImportRefusedError("archive-bomb", f"{name} unpacks to more than {MAX_RATIO} times its size")


def _check_total(sizes: Iterable[int]) -> None:
    if sum(sizes) > MAX_TOTAL_BYTES:
        raise ImportRefusedError("archive-bomb", f"the archive unpacks to more than {MAX_TOTAL_BYTES >> 30} GiB")
