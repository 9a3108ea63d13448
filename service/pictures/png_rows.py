"""PNGs decoded a few rows at a time, and decompressed by zlib-ng, several times as fast as the zlib in Pillow."""

import io
import struct
from collections.abc import Iterator

from PIL import Image
from zlib_ng import zlib_ng as zlib

from service.pictures import PictureError
from service.pictures.pixels import BAND_PIXELS, plain

SIGNATURE = b"\x89PNG\r\n\x1a\n"
HEADER = struct.Struct(">IIBBBBB")
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""By a PNG's color type: grey, RGB, palette, grey and alpha, RGBA."""
STORED_BYTES = 2**16 - 1
"""The most that a stored block of zlib's may hold."""
EMPTY_LAST_BLOCK = struct.pack("<BHH", 1, 0, 0xFFFF)
TURNS = (b"eXIf", b"XML:com.adobe.xmp", b"Raw profile type")
"""What a PNG's orientation may stand in."""
UNCHECKED = bytes(4)
"""In place of the pixels' CRC, which Pillow passes over."""


class PngRows:
    """A PNG whose rows are decoded from the top, as many at a time as are asked for, as `plain` pictures.

    Pillow decodes a small PNG for each band: the band's own filtered rows, and before them, unfiltered, the row above
    that their filters refer to.
    """

    def __init__(self, data: bytes) -> None:
        header = HEADER.unpack_from(data, 16)
        self.size = self.width, self.height = header[:2]
        self._fields = header[2:]
        self._tables, self._packed = self._chunks(data)
        self._zlib, self._above, self._y = zlib.decompressobj(), b"", 0
        self._row_bytes = 1 + self.width * CHANNELS[header[3]]

    @staticmethod
    def can_read(data: bytes) -> bool:
        """Whether it has eight bits a channel, is not interlaced, and nothing behind its pixels may ask for a turn."""
        _, _, depth, color, _, _, interlaced = HEADER.unpack_from(data, 16)
        if data[12:16] != b"IHDR" or depth != 8 or color not in CHANNELS or interlaced:
            return False
        behind = data[data.rfind(b"IDAT") :]
        return not any(tag in behind for tag in TURNS)

    @staticmethod
    def _chunks(data: bytes) -> tuple[bytes, Iterator[memoryview]]:
        """The chunks that tell what colors mean, and the compressed rows piece by piece."""
        view, place, tables, packed = memoryview(data), 8, b"", []
        while place + 8 <= len(data):
            length, kind = struct.unpack_from(">I4s", data, place)
            if kind == b"IEND":
                break
            if kind in (b"PLTE", b"tRNS"):
                tables += data[place : place + 12 + length]
            elif kind == b"IDAT":
                packed.append(view[place + 8 : place + 8 + length])
            place += 12 + length
        pieces = (part[start : start + 2**16] for part in packed for start in range(0, len(part), 2**16))
        return tables, pieces

    def crop(self, box: tuple[int, int, int, int]) -> Image.Image:
        """A part of the picture; its upper edge may not lie above the lower edge of the part before."""
        left, top, right, bottom = box
        while self._y < top:
            self._take(min(top - self._y, max(BAND_PIXELS // self.width, 1)))
        band = plain(self._take(bottom - top))
        return band if (left, right) == (0, self.width) else band.crop((left, 0, right, bottom - top))

    def _take(self, rows: int) -> Image.Image:
        """The next rows."""
        missing, parts = rows * self._row_bytes, [self._above]
        while missing:
            piece = self._zlib.unconsumed_tail or next(self._packed, None)
            if piece is None or self._zlib.eof:
                raise PictureError("cannot be decoded: image file is truncated")
            parts.append(self._zlib.decompress(piece, missing))
            missing -= len(parts[-1])
        band = self._decoded(parts, rows + bool(self._above))
        if self._above:
            band = band.crop((0, 1, self.width, rows + 1))
        self._above = b"\0" + band.crop((0, rows - 1, self.width, rows)).tobytes()
        self._y += rows
        return band

    def _decoded(self, filtered: list[bytes], rows: int) -> Image.Image:
        header = chunk(b"IHDR", HEADER.pack(self.width, rows, *self._fields))
        pixels = stored(filtered)
        start = struct.pack(">I4s", sum(map(len, pixels)), b"IDAT")
        data = b"".join((SIGNATURE, header, self._tables, start, *pixels, UNCHECKED, chunk(b"IEND", b"")))
        with Image.open(io.BytesIO(data), formats=["PNG"]) as band:
            band.load()
            return band


def stored(parts: list[bytes]) -> list[bytes | memoryview]:
    """A zlib stream that holds the parts as they are (RFC 1950, 1951): `zlib.compress` at level 0 takes longer."""
    blocks: list[bytes | memoryview] = [b"\x78\x01"]
    check = 1
    for part in parts:
        check = zlib.adler32(part, check)
        for start in range(0, len(part), STORED_BYTES):
            block = memoryview(part)[start : start + STORED_BYTES]
            blocks += (struct.pack("<BHH", 0, len(block), len(block) ^ 0xFFFF), block)
    return [*blocks, EMPTY_LAST_BLOCK, struct.pack(">I", check)]


def chunk(kind: bytes, data: bytes) -> bytes:
    check = zlib.crc32(data, zlib.crc32(kind))
    return b"".join((struct.pack(">I4s", len(data), kind), data, struct.pack(">I", check)))
