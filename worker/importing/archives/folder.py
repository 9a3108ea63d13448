"""Folders under a data root: their files, links followed as far as the data roots reach."""

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from service.errors import ImportRefusedError
from worker.importing.archives.listing import MAX_ENTRIES, Listing, Member, is_clutter
from worker.importing.images.pool import Faulty

MAX_FILES = 20 * MAX_ENTRIES


def list_folder(folder: Path, roots: Sequence[Path]) -> Listing:
    """The files below a folder, in the order of their names."""
    listing = Listing(packed_bytes=0)
    resolved = [root.resolve() for root in roots]
    for parent, folders, files in os.walk(folder):
        for name in [each for each in folders if is_clutter(each)]:
            listing.ignore(
                os.path.relpath(os.path.join(parent, name), folder) + "/", "hidden, or a system's own folder"
            )
            folders.remove(name)
        folders.sort()
        for name in [each for each in folders if os.path.islink(os.path.join(parent, each))]:
            listing.refuse(os.path.relpath(os.path.join(parent, name), folder), "a link to a folder is not followed")
        for name in sorted(files):
            if len(listing.members) >= MAX_FILES:
                raise ImportRefusedError("too-many-files", f"more than {MAX_FILES:,} files")
            _add(listing, Path(parent, name), folder, resolved)
    return listing


def _add(listing: Listing, path: Path, folder: Path, roots: Sequence[Path]) -> None:
    name = path.relative_to(folder).as_posix()
    if is_clutter(name):
        listing.ignore(name, "hidden, or a system's own file")
        return
    real = place(path, roots)
    if isinstance(real, Faulty):
        listing.refuse(name, real.reason)
    else:
        listing.members[name] = Member(name, str(real))


def place(path: Path, roots: Sequence[Path]) -> Path | Faulty:
    """The regular file that a path means, links followed as far as the (resolved) roots reach."""
    is_link = path.is_symlink()
    try:
        real = path.resolve(strict=True) if is_link or ".." in path.parts else path
        is_file = stat.S_ISREG(real.stat().st_mode)
    except (OSError, RuntimeError):
        return Faulty("a link that leads nowhere" if is_link else "cannot be read")
    if not any(real.is_relative_to(root) for root in roots):
        return Faulty("a link that leads out of the data roots" if is_link else "not under a data root")
    return real if is_file else Faulty("not a regular file")
