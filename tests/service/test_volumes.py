"""Full disks are recognised whatever raises, and the volume is named."""

import errno
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from service.durable_files import write_durably
from service.errors import ImportRefusedError
from service.settings import Settings
from service.volumes import disk_full, is_disk_full, volumes
from tests.faults.campaign.volumes import Volume

Write = Callable[[Path], object]


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A volume of 1 MiB."""
    volume = Volume(tmp_path / "small", 1)
    if not volume.is_mounted:
        pytest.skip("this user may not mount a tmpfs")
    yield volume.folder
    volume.unmount()


def fill_database(path: Path) -> None:
    """A row of 2 MiB."""
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE t AS SELECT zeroblob(2097152)")


@pytest.mark.parametrize(
    "write",
    [
        lambda path: path.write_bytes(bytes(2**21)),
        lambda path: np.save(path, np.zeros(2**18)),
        lambda path: torch.save({"weights": torch.zeros(2**19)}, path),
        lambda path: save_file({"weights": torch.zeros(2**19)}, path),
        fill_database,
    ],
    ids=["bytes", "numpy", "torch", "safetensors", "sqlite"],
)
def test_every_writers_error_on_a_full_disk_is_recognised(small: Path, write: Write) -> None:
    with pytest.raises(Exception) as raised:  # noqa: PT011  (each library has its own)
        write_durably(small / "file.npy", write)
    assert is_disk_full(raised.value), repr(raised.value)


def test_a_cause_counts_and_what_users_wrote_does_not() -> None:
    refused = ImportRefusedError("csv-unreadable", "x cannot be read")
    refused.__cause__ = OSError(errno.ENOSPC, "No space left")
    assert is_disk_full(refused)
    assert not is_disk_full(ImportRefusedError("name", "no label `database or disk is full`"))
    assert not is_disk_full(OSError(errno.EACCES, "Permission denied"))
    assert not is_disk_full(None)


def test_the_fullest_volume_is_named(tmp_path: Path, small: Path) -> None:
    settings = Settings(home=tmp_path, artifact_url=f"file:{small}")
    assert [volume.name for volume in volumes(settings)] == ["home", "artifacts", "scratch"]
    error = disk_full(settings, OSError(errno.ENOSPC, "No space left"))
    assert error is not None
    assert error.detail == f"a disk is full: artifacts ({small}, 1,048,576 bytes free)"
