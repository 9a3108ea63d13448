"""A picture's bytes: a part of a file, as they are or deflated, and as many as were announced."""

import os
import zlib
from pathlib import Path

import pytest

from service.pictures import PictureError
from worker.importing.images.decoder import read

DATA = bytes(range(256)) * 4


def test_stored_and_deflated_parts_of_a_file_are_read(tmp_path: Path) -> None:
    packer = zlib.compressobj(wbits=-15)
    deflated = packer.compress(DATA) + packer.flush()
    path = tmp_path / "archive"
    path.write_bytes(b"head" + DATA + deflated + b"tail")
    crc = zlib.crc32(DATA)
    assert read(str(path), 4, len(DATA), 0, len(DATA), crc) == DATA
    assert read(str(path), 4 + len(DATA), len(deflated), 8, len(DATA), crc) == DATA
    assert read(str(path), 0, -1, 0, -1, None) == path.read_bytes()


@pytest.mark.parametrize(
    ("length", "size", "crc", "words"),
    [
        (len(DATA), len(DATA) + 1, None, "1024 bytes, the archive says 1025"),
        (len(DATA) + 1, len(DATA) + 1, None, "1024 bytes, the archive says 1025"),
        (len(DATA), len(DATA), 1, "checksum"),
        (0, 0, None, "an empty file"),
        (2**31, 2**31, None, "2,048 MiB are more than a picture may have"),
    ],
)
def test_what_is_not_as_announced_is_refused(
    tmp_path: Path, length: int, size: int, crc: int | None, words: str
) -> None:
    (tmp_path / "file").write_bytes(DATA)
    with pytest.raises(PictureError, match=words):
        read(str(tmp_path / "file"), 0, length, 0, size, crc)


def test_a_deflated_bomb_is_not_unpacked_beyond_what_was_announced(tmp_path: Path) -> None:
    packer = zlib.compressobj(wbits=-15)
    bomb = packer.compress(bytes(10**7)) + packer.flush()
    (tmp_path / "file").write_bytes(bomb)
    with pytest.raises(PictureError, match="1001 bytes, the archive says 1000"):
        read(str(tmp_path / "file"), 0, len(bomb), 8, 1000, None)


def test_what_is_no_regular_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(PictureError, match="not a regular file"):
        read(str(tmp_path / "pipe"), 0, -1, 0, -1, None)
