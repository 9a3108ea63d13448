"""Small volumes in memory that can be filled to the last byte, where this process may mount them."""

import errno
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

BALLAST = ".ballast"
LEAST_BYTES = 4096


class Volume:
    """A folder; one of a limited size where `is_mounted`."""

    def __init__(self, folder: Path, mebibytes: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        command = ["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs", str(folder)]
        self.is_mounted = (
            os.geteuid() == 0 and subprocess.run(command, capture_output=True, check=False).returncode == 0
        )

    def unmount(self) -> None:
        """Takes the volume away, whatever still uses it."""
        if self.is_mounted:
            subprocess.run(["umount", "-l", str(self.folder)], check=True)

    @contextmanager
    def filled(self) -> Iterator[None]:
        """No byte is free while this is entered; what others delete meanwhile is taken too."""
        emptied = threading.Event()
        ballast = os.open(self.folder / BALLAST, os.O_CREAT | os.O_WRONLY)
        filler = threading.Thread(target=_keep_full, args=(ballast, emptied), daemon=True)
        _fill(ballast)
        filler.start()
        try:
            yield
        finally:
            emptied.set()
            filler.join()
            os.close(ballast)
            (self.folder / BALLAST).unlink()


def _keep_full(ballast: int, emptied: threading.Event) -> None:
    while not emptied.wait(0.05):
        _fill(ballast)


def _fill(ballast: int) -> None:
    """Extends the file by whatever still fits."""
    piece = 2**24
    while piece >= LEAST_BYTES:
        try:
            os.posix_fallocate(ballast, os.fstat(ballast).st_size, piece)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            piece //= 2
