"""A decoder process: pictures that nobody vouches for become rows of the packed arrays, within a limit of memory.

It speaks JSON, so that a picture that takes it over cannot take over its parent, and starts in milliseconds: it imports
the standard library, Pillow and zlib-ng only. On stdin comes a plan, then one task a line, `[row, path, start, length,
method, size, crc]` (`method` 0 stored, 8 deflated); an object is the plan for the tasks that follow. Each task is
answered by one line, in order: the facts of the picture with the SHA-256 of its bytes (`file`) and of its packed pixels
(`row`), or `error`, or `large`.
"""

import hashlib
import json
import os
import resource
import stat
import sys
from typing import Any, NamedTuple

from PIL import Image
from zlib_ng import zlib_ng as zlib

from service.pictures import PictureError, Shape, TooManyPixels, decode, read_header, reason

MAX_FILE_BYTES = 2**29
THUMB_SIDE = 32


class Plan(NamedTuple):
    """How every picture is packed, and where: paths of the arrays, and where in these files their rows begin."""

    height: int
    width: int
    channels: int
    rows: str
    rows_offset: int
    thumbs: str
    """Each picture once more, 32 x 32 and grey."""
    thumbs_offset: int
    probe: bool = False
    """Only look at the headers; nothing is packed."""
    max_pixels: int | None = None
    """Pictures with more are answered with `large`; None: of any number that pictures may have."""
    scale: tuple[float, float] | None = None
    """What makes 8 bits of more, for all pictures alike; None: the range of each picture."""


def main(memory_bytes: int) -> None:
    """Answers tasks until stdin ends."""
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    packer: Packer | None = None
    for line in sys.stdin.buffer:
        message = json.loads(line)
        if isinstance(message, dict):
            if packer is not None:
                packer.close()
            packer = Packer(Plan(**message))
        else:
            assert packer is not None
            sys.stdout.write(json.dumps(answer(message, packer)) + "\n")
            sys.stdout.flush()


def answer(task: list[Any], packer: "Packer") -> dict[str, Any]:
    """What became of one picture."""
    try:
        return packer.pack(task[0], read(*task[1:]))
    except TooManyPixels:
        return {"large": True}
    except Exception as error:  # noqa: BLE001  (this process is here to find out in how many ways pictures fail)
        return {"error": reason(error)}


def read(path: str, start: int, length: int, method: int, size: int, crc: int | None) -> bytes:
    """The picture's bytes; real bytes count, whatever an archive's directory says."""
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode):
            raise PictureError("not a regular file")
        if length < 0:
            length = size = status.st_size
        if size == 0:
            raise PictureError("an empty file")
        if max(size, length) > MAX_FILE_BYTES:
            raise PictureError(f"{size / 2**20:,.0f} MiB are more than a picture may have")
        data = _pread(file, start, length)
    finally:
        os.close(file)
    if method:
        data = zlib.decompressobj(-15).decompress(data, size + 1)
    if len(data) != size:
        raise PictureError(f"{len(data)} bytes, the archive says {size}")
    if crc is not None and zlib.crc32(data) != crc:
        raise PictureError("its checksum is not the archive's")
    return data


def _pread(file: int, start: int, length: int) -> bytes:
    pieces = []
    while length > 0 and (piece := os.pread(file, min(length, 2**24), start)):
        pieces.append(piece)
        start, length = start + len(piece), length - len(piece)
    return b"".join(pieces)


class Packer:
    """Writes pictures into the rows of the packed arrays."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._shape = Shape(plan.height, plan.width, plan.channels)
        self._scale = None if plan.scale is None else (plan.scale[0], plan.scale[1])
        self._rows, self._thumbs = (os.open(path, os.O_WRONLY) for path in (plan.rows, plan.thumbs))

    def close(self) -> None:
        """Closes the arrays."""
        os.close(self._rows)
        os.close(self._thumbs)

    def pack(self, row: int, data: bytes) -> dict[str, Any]:
        """Packs the picture into its row, unless the plan only probes, and returns what is known of it."""
        if self._plan.probe:
            return read_header(data)._asdict()
        facts, packed = decode(data, self._shape, self._plan.max_pixels, self._scale)
        pixels = packed.tobytes()
        _write(self._rows, pixels, self._plan.rows_offset + row * len(pixels))
        thumb = packed.convert("L").resize((THUMB_SIDE, THUMB_SIDE), Image.Resampling.BOX, reducing_gap=1.0).tobytes()
        _write(self._thumbs, thumb, self._plan.thumbs_offset + row * len(thumb))
        hashes = {"file": hashlib.sha256(data).hexdigest(), "row": hashlib.sha256(pixels).hexdigest()}
        return facts._asdict() | hashes


def _write(file: int, data: bytes, offset: int) -> None:
    if os.pwrite(file, data, offset) != len(data):
        raise OSError("the disk is full")
