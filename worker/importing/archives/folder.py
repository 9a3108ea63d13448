"""Folders under a data root: their files, links followed as far as the data roots reach."""

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from service.errors import ImportRefusedError
from worker.engine.context import RunContext
from worker.importing.archives.listing import MAX_ENTRIES, Faulty, Listing, Member, is_clutter

MAX_FILES = 20 * MAX_ENTRIES


def list_folder(folder: Path, context: RunContext) -> Listing:
    """The files below a folder, in the order of their names."""
    listing = Listing(packed_bytes=0)
    roots = [root.resolve() for root in context.data_roots]
    for parent, folders, files in os.walk(folder):
        below = os.path.relpath(parent, folder)
        for name in filter(is_clutter, tuple(folders)):
            listing.ignore(os.path.normpath(os.path.join(below, name)) + "/", "hidden, or a system's own folder")
            folders.remove(name)
        folders.sort()
        for name in folders:
            if os.path.islink(os.path.join(parent, name)):
                listing.refuse(os.path.normpath(os.path.join(below, name)), "a link to a folder is not followed")
        for name in sorted(files):
            if len(listing.members) >= MAX_FILES:
                raise ImportRefusedError("too-many-files", f"more than {MAX_FILES:,} files")
            _add(listing, Path(parent, name), folder, roots)
    return listing


def _add(listing: Listing, path: Path, folder: Path, roots: Sequence[Path]) -> None:
    name = path.relative_to(folder).as_posix()
    if is_clutter(name):
        listing.ignore(name, "hidden, or a system's own file")
        return
    file = regular_file(path, roots)
    if isinstance(file, Faulty):
        listing.refuse(name, file.reason)
    else:
        listing.members[name] = Member(name, str(file))


def regular_file(path: Path, roots: Sequence[Path]) -> Path | Faulty:
    """The regular file that a path means, links followed as far as the (resolved) roots reach."""
    is_link = path.is_symlink()
    try:
        real = path.resolve(strict=True) if is_link or ".." in path.parts else path
        is_regular = stat.S_ISREG(real.stat().st_mode)
    except (OSError, RuntimeError):
        return Faulty("a link that leads nowhere" if is_link else "cannot be read")
    if not any(real.is_relative_to(root) for root in roots):
        return Faulty("a link that leads out of the data roots" if is_link else "not under a data root")
    return real if is_regular else Faulty("not a regular file")
