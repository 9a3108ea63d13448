"""The files that an archive or a folder holds, by names that are safe: where each lies, and what is wrong with it.

Nothing is ever written under a name that came from outside; a member is a part of a file.
"""

import unicodedata
import zlib
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

from service.errors import ImportRefusedError
from worker.importing.names import printable

MAX_ENTRIES = 200_000
MAX_BYTES = 20 * 2**30
MAX_RATIO = 100
RATIO_FLOOR_BYTES = 10 * 2**20
"""Less than this is no bomb, however well it packs."""
MAX_NAME = 255
NESTED = {".zip", ".tar", ".gz", ".tgz", ".bz2", ".tbz2", ".xz", ".txz", ".7z", ".rar", ".zst", ".jar"}
CLUTTER = {"thumbs.db", "desktop.ini", "__macosx", "@eadir", "$recycle.bin"}


@dataclass(frozen=True, slots=True)
class Member:
    """One file: `length` bytes of `path` from `start` on (-1: the whole file), deflated when `method` is 8."""

    name: str
    path: str
    start: int = 0
    length: int = -1
    method: int = 0
    size: int = -1
    crc: int | None = None


def first_bytes(member: Member, count: int) -> bytes:
    """The first bytes of a file, unpacked; none where they cannot be read: its decoder says why."""
    try:
        with open(member.path, "rb") as file:
            file.seek(member.start)
            data = file.read(count if member.length < 0 else min(count, member.length))
        return zlib.decompressobj(-15).decompress(data, count) if member.method else data
    except (OSError, zlib.error):
        return b""


@dataclass(frozen=True, slots=True)
class Faulty:
    """A file that cannot be used, and why."""

    reason: str


@dataclass
class Listing:
    """What a container holds; what no container may hold is refused."""

    packed_bytes: int
    """Size of the archive; 0 for a folder, which cannot be a bomb."""
    members: dict[str, Member] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    """Name -> the name it stands for; only links that stay within the container."""
    corrupt: list[dict[str, str]] = field(default_factory=list)
    ignored: list[dict[str, str]] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    """What had to be decided to read it, one sentence each."""
    _folded: dict[str, str] = field(default_factory=dict)
    _entries: int = 0
    _bytes: int = 0

    def enter(self, name: str, *, is_folder: bool = False) -> str | None:
        """Counts an entry of an archive and checks its name; None for what is no data (folders, hidden, macOS)."""
        self._entries += 1
        if self._entries > MAX_ENTRIES:
            raise ImportRefusedError("archive-too-many-entries", f"more than {MAX_ENTRIES:,} entries")
        if is_folder and name.strip("./") == "" and not name.startswith(("/", "..")):
            return None
        clean = safe_name(name)
        if is_folder:
            return None
        folded = unicodedata.normalize("NFC", clean).casefold()
        if (twin := self._folded.get(folded)) is not None:
            code = "archive-duplicate" if twin == clean else "archive-case-collision"
            raise ImportRefusedError(code, f"`{printable(clean)}` and `{printable(twin)}` are one name on some systems")
        self._folded[folded] = clean
        if is_clutter(clean):
            self.ignore(clean, "hidden, or a system's own file")
            return None
        if PurePosixPath(clean).suffix.lower() in NESTED:
            raise ImportRefusedError(
                "archive-nested", f"`{printable(clean)}` is an archive within the archive; unpack it first"
            )
        return clean

    def weigh(self, name: str, size: int, packed: int) -> None:
        """Counts unpacked bytes; refuses a bomb."""
        self._bytes += size
        weigh(self._bytes, self.packed_bytes)
        if size > RATIO_FLOOR_BYTES and size > MAX_RATIO * max(packed, 1):
            raise ImportRefusedError(
                "archive-bomb", f"`{printable(name)}` unpacks to {size / max(packed, 1):,.0f} times its size"
            )

    def ignore(self, name: str, reason: str) -> None:
        """Lists a file that is not data."""
        self.ignored.append({"file": printable(name), "reason": reason})

    def refuse(self, name: str, reason: str) -> None:
        """Lists a file that should be data and cannot be read."""
        self.corrupt.append({"file": printable(name), "reason": reason})

    def follow_links(self) -> None:
        """Puts a copy of its target in place of each link; a link that leads nowhere refuses the archive."""
        for name, target in self.links.items():
            seen = {name}
            while target in self.links and target not in seen:
                seen.add(target)
                target = self.links[target]
            file = self.members.get(target)
            if file is None:
                raise ImportRefusedError(
                    "archive-link", f"`{printable(name)}` is a link to `{printable(target)}`, no file of the archive"
                )
            self.members[name] = replace(file, name=name)


def weigh(unpacked: int, packed: int) -> None:
    """Refuses an archive that unpacks to too much, or to too much for its size."""
    if unpacked > MAX_BYTES:
        raise ImportRefusedError("archive-bomb", f"it unpacks to more than {MAX_BYTES / 2**30:g} GiB")
    if unpacked > RATIO_FLOOR_BYTES and unpacked > MAX_RATIO * packed:
        raise ImportRefusedError("archive-bomb", f"it unpacks to more than {MAX_RATIO} times its size")


def safe_name(name: str) -> str:
    """The relative path that a name in an archive means, with `/`; ImportRefusedError when it points elsewhere."""
    if "\0" in name:
        raise ImportRefusedError("archive-bad-name", f"`{printable(name)}` has a NUL in its name")
    if len(name) > MAX_NAME:
        raise ImportRefusedError("archive-path-too-long", f"a name of {len(name)} characters: `{printable(name)[:80]}`")
    path = name.replace("\\", "/")
    if path.startswith("/") or (len(path) > 1 and path[1] == ":" and path[0].isalpha()):
        raise ImportRefusedError("archive-absolute-path", f"`{printable(name)}` is an absolute path")
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise ImportRefusedError("archive-traversal", f"`{printable(name)}` leads out of the archive")
    if not parts:
        raise ImportRefusedError("archive-bad-name", f"`{printable(name)}` names nothing")
    return "/".join(parts)


def link_target(name: str, target: str) -> str:
    """The member that a symbolic link stands for; ImportRefusedError when it leads out of the archive."""
    path = target.replace("\\", "/")
    parts = name.split("/")[:-1]
    if path.startswith("/") or ":" in path[:2] or "\0" in path:
        raise ImportRefusedError("archive-link", f"`{printable(name)}` is a link to `{printable(target)}`")
    for part in path.split("/"):
        if part == "..":
            if not parts:
                raise ImportRefusedError(
                    "archive-link", f"`{printable(name)}` is a link out of the archive, to `{printable(target)}`"
                )
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)


def is_clutter(name: str) -> bool:
    """Whether a path is hidden, or one that systems leave behind."""
    return any(part.startswith(".") or part.lower() in CLUTTER for part in name.split("/"))
