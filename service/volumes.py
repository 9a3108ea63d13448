"""The volumes that the service writes to, how much is free on each, and which errors a full one causes."""

import errno
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from service.errors import DiskFullError, TrainwrightError, causes
from service.settings import Settings

NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
MESSAGES = re.compile(
    r"No space left on device|os error 28|os error 122"  # Postgres; libraries in Rust such as safetensors
    r"|database or disk is full"  # SQLite
    r"|requested and \d+ written"  # np.save
    r"|unexpected pos \d+ vs|iostream error"  # torch.save
)
"""What libraries say of a full disk that raise no OSError with its number."""


@dataclass(frozen=True, slots=True)
class Volume:
    """A folder and the bytes that are free there; several may lie on one disk."""

    name: str
    folder: Path
    free_bytes: int

    def __str__(self) -> str:
        return f"{self.name} ({self.folder}, {self.free_bytes:,} bytes free)"


def volumes(settings: Settings) -> list[Volume]:
    """Every volume of this host that the service writes to."""
    folders = {"home": settings.home, "artifacts": settings.artifact_folder, "scratch": settings.scratch}
    return [Volume(name, folder, free_bytes(folder)) for name, folder in folders.items() if folder is not None]


def free_bytes(folder: Path) -> int:
    """Bytes that are free in a folder, which need not exist yet."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def disk_full(settings: Settings, error: BaseException | None) -> DiskFullError | None:
    """The error of a full disk that names the volume, if `error` came of one: the volume with the least space."""
    if not is_disk_full(error):
        return None
    return DiskFullError(f"a disk is full: {min(volumes(settings), key=lambda volume: volume.free_bytes)}")


def is_disk_full(error: BaseException | None) -> bool:
    """Whether a full disk is the cause of an error, or of one that it was raised from."""
    return any(_says_full(cause) for cause in causes(error))


def _says_full(error: BaseException) -> bool:
    if isinstance(error, DiskFullError) or (isinstance(error, OSError) and error.errno in NO_SPACE):
        return True
    # The text of these repeats what users sent; of the database's errors, the driver's own follows in the chain.
    repeats_input = isinstance(error, TrainwrightError) or hasattr(error, "statement")
    return not repeats_input and MESSAGES.search(str(error)) is not None


def root_refusal(path: Path, data_roots: tuple[Path, ...]) -> str | None:
    """Why a path may not be read; None when it lies under a data root. The sentence names all roots, so that a mistyped
    setting shows.
    """
    resolved = path.resolve()
    if any(resolved.is_relative_to(root.resolve()) for root in data_roots):
        return None
    roots = (str(root) if root.is_dir() else f"{root} (no folder)" for root in data_roots)
    return f"{path} is not under a data root (TRAINWRIGHT_DATA_ROOTS: {', '.join(roots) or 'none'})"
