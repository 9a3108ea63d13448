"""Decodes pictures that nobody vouches for: a process of its own, run by path (`python -I decoder.py MEMORY_BYTES`).

Standard library, Pillow and zlib-ng only: it starts in milliseconds, and speaks JSON, so that a picture that takes it
over cannot take over its parent. On stdin comes a plan: paths `x` and `thumbs` of the packed arrays with the offsets of
their rows, `height`, `width`, `channels`, `probe` (headers only), and how many pixels are too many for a process like
this (`max_pixels`; no number when it is `alone` with the large ones) and at all (`limit`). Then one task a line:
`[row, path, start, length, method, size, crc]` (`method` 0 stored, 8 deflated). Each is answered by one line, in
order; the decoded picture lies in `row` of `x` (uint8 H,W,C) and, 32 x 32 and grey, of `thumbs`.
"""

import hashlib
import io
import json
import os
import resource
import stat
import struct
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from PIL import Image, ImageOps
from zlib_ng import zlib_ng as zlib

FORMATS = ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM"]
MAX_FILE_BYTES = 2**29
BAND_PIXELS = 2**20
"""Large pictures are reduced band by band, so that no second full-size copy is made."""
STREAM_PIXELS, STREAM_LIMIT = 2**24, 10**9
"""PNGs with more pixels are decoded a few rows at a time; and the most that they may have."""
FAST_PIXELS = 2**16
"""PNGs with more pixels are decompressed by zlib-ng, which is several times as fast as the zlib that Pillow uses."""
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_HEADER = struct.Struct(">IIBBBBB")
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""By a PNG's colour type: grey, RGB, palette, grey and alpha, RGBA."""
STORED_BYTES = 2**16 - 1
"""The most that a stored block of zlib's may hold."""
EMPTY_LAST_BLOCK = struct.pack("<BHH", 1, 0, 0xFFFF)
TURNS = (b"eXIf", b"XML:com.adobe.xmp", b"Raw profile type")
"""What a PNG's orientation may stand in."""
UNCHECKED = bytes(4)
"""In place of the pixels' CRC, which Pillow passes over."""
THUMB = 32
GAP = 2.0
"""Pictures are first shrunk by blocks, which is many times as fast, to no less than so many times their last size.
Photographs change by less than 1 % of what ImageNet's normalisation leaves of them (with 1.5 by up to 1.8 %)."""


class Refused(Exception):
    """The picture cannot be used; the message says why."""


class Large(Exception):
    """More pixels than this process may decode."""


def main() -> None:
    """Answers tasks until stdin ends; a line that is an object is the plan for those that follow."""
    memory = int(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    Image.MAX_IMAGE_PIXELS = None  # the limit is ours, checked before loading
    plan: dict[str, Any] = {}
    for line in sys.stdin.buffer:
        task = json.loads(line)
        if isinstance(task, dict):
            plan = opened(task, plan)
            continue
        sys.stdout.write(json.dumps(answer(task, plan)) + "\n")
        sys.stdout.flush()


def opened(plan: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    """The plan with its two files opened, in place of the one before."""
    for name in ("x_file", "thumbs_file"):
        if name in before:
            os.close(before[name])
    return plan | {f"{name}_file": os.open(plan[name], os.O_WRONLY) for name in ("x", "thumbs")}


def answer(task: list[Any], plan: dict[str, Any]) -> dict[str, Any]:
    """What became of one picture: its facts, or `error`, or `large`."""
    try:
        return decode(task[0], read(*task[1:]), plan)
    except Refused as error:
        return {"error": str(error)}
    except Large as error:
        return {"large": str(error)}
    except MemoryError:
        return {"error": "decoding it takes more memory than a picture may"}
    except Exception as error:  # noqa: BLE001  (this process is here to find out in how many ways pictures fail)
        text = str(error).replace(repr(error), "").split("<_io")[0].strip() or type(error).__name__
        return {"error": f"cannot be decoded: {text[:200]}"}


def read(path: str, start: int, length: int, method: int, size: int, crc: int | None) -> bytes:
    """The picture's bytes; real bytes count, whatever an archive's directory says."""
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode):
            raise Refused("not a regular file")
        if length < 0:
            length = size = status.st_size
        if size == 0:
            raise Refused("an empty file")
        if max(size, length) > MAX_FILE_BYTES:
            raise Refused(f"{size / 2**20:,.0f} MiB are more than a picture may have")
        data = pread(file, start, length)
    finally:
        os.close(file)
    if method:
        data = zlib.decompressobj(-15).decompress(data, size + 1)
    if len(data) != size:
        raise Refused(f"{len(data)} bytes, the archive says {size}")
    if crc is not None and zlib.crc32(data) != crc:
        raise Refused("its checksum is not the archive's")
    return data


def pread(file: int, start: int, length: int) -> bytes:
    pieces = []
    while length > 0 and (piece := os.pread(file, min(length, 2**24), start)):
        pieces.append(piece)
        start, length = start + len(piece), length - len(piece)
    return b"".join(pieces)


def decode(row: int, data: bytes, plan: dict[str, Any]) -> dict[str, Any]:
    """Packs the picture into its row and returns what is known of it."""
    height, width, channels = plan["height"], plan["width"], plan["channels"]
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        size, mode, kind = image.size, image.mode, image.format
        frames = getattr(image, "n_frames", 1) if kind in ("GIF", "WEBP", "PNG") else 1
        image.draft("RGB" if image.mode == "RGB" else None, (2 * width, 2 * height))
        pixels = image.width * image.height
        fast = kind == "PNG" and pixels > FAST_PIXELS and PngRows.can_read(data) and orientation(image) == 1
        limit = STREAM_LIMIT if fast else plan["limit"]
        if pixels > limit:
            raise Refused(f"{size[0]} x {size[1]} pixels are more than {limit // 10**6} million")
        if not plan["alone"] and not plan["probe"] and pixels > plan["limit" if fast else "max_pixels"]:
            raise Large("more pixels than a process of this size decodes")
        picture = image if plan["probe"] else loaded(image, data, fast=fast)
        turned = orientation(image)
        upright = size[::-1] if turned >= 5 else size
        facts = {"size": upright, "mode": mode, "format": kind, "frames": frames, "turned": turned != 1}
        if plan["probe"]:
            return facts
        if isinstance(picture, Image.Image):
            picture = plain(picture if turned == 1 else ImageOps.exif_transpose(picture))
        packed = fit(picture, width, height).convert("L" if channels == 1 else "RGB")
    raw = packed.tobytes()
    write(plan["x_file"], raw, plan["offset"] + row * len(raw))
    grey = packed.convert("L")
    thumb = grey.resize((THUMB, THUMB), Image.Resampling.BOX, reducing_gap=1.0).tobytes()
    write(plan["thumbs_file"], thumb, plan["thumbs_offset"] + row * len(thumb))
    hashes = {"file": hashlib.sha256(data).hexdigest(), "row": hashlib.sha256(raw).hexdigest()}
    return facts | hashes


def loaded(image: Image.Image, data: bytes, *, fast: bool) -> "Image.Image | PngRows":
    """The picture with its pixels, or their source where they are too many to have at once."""
    if fast:
        rows = PngRows(data)
        if rows.width * rows.height > STREAM_PIXELS:
            return rows
        with suppress(Exception):  # what is wrong, and whether it can be used all the same, Pillow decides
            return rows.crop((0, 0, *rows.size))
    image.load()
    return image


def write(file: int, data: bytes, offset: int) -> None:
    if os.pwrite(file, data, offset) != len(data):
        raise OSError("the disk is full")


def orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 where there is none or it cannot be read (a PNG's may lie behind its pixels)."""
    try:
        turned = Image.Image.getexif(image).get(0x0112, 1)  # a PNG's own method would load its pixels
    except Exception:  # noqa: BLE001  (broken EXIF data do not make a broken picture)
        return 1
    return turned if turned in range(1, 9) else 1


def fit(image: "Image.Image | PngRows", width: int, height: int) -> Image.Image:
    """What torchvision's Resize(shorter side) and CenterCrop make of a plain picture on a white ground: `L` or `RGB`.

    Only the square that is kept is resampled; its place is torchvision's to the fraction of a pixel.
    """
    if isinstance(image, Image.Image) and image.size == (width, height):
        return on_white(image)
    box = crop_box(image.size, width, height)
    factor = max(int(min((box[2] - box[0]) / width, (box[3] - box[1]) / height) / GAP), 1)
    if factor > 1 or isinstance(image, PngRows):
        image, box = reduce(image, factor, box)
    return on_white(image).resize((width, height), Image.Resampling.BILINEAR, box=box)


def crop_box(size: tuple[int, int], width: int, height: int) -> tuple[float, float, float, float]:
    """The part of the original that Resize + CenterCrop keep, in its own coordinates."""
    short = min(size)
    resized = [max(int(width * side / short), 1) for side in size]
    scale = [side / small for side, small in zip(size, resized, strict=True)]
    left, top = (round((small - kept) / 2.0) for small, kept in zip(resized, (width, height), strict=True))
    box = (left * scale[0], top * scale[1], (left + width) * scale[0], (top + height) * scale[1])
    return (max(box[0], 0.0), max(box[1], 0.0), min(box[2], size[0]), min(box[3], size[1]))


def reduce(
    image: "Image.Image | PngRows", factor: int, box: tuple[float, float, float, float]
) -> tuple[Image.Image, tuple[float, float, float, float]]:
    """The part of the picture around `box` shrunk by a whole factor, band by band, and the box within it."""
    margin = 2 * factor
    left, top = max(int(box[0]) - margin, 0), max(int(box[1]) - margin, 0)
    right = min(int(box[2]) + 1 + margin, image.width)
    bottom = min(int(box[3]) + 1 + margin, image.height)
    rows = max(BAND_PIXELS // (right - left) // factor, 1) * factor
    shape, small = (-(-(right - left) // factor), -(-(bottom - top) // factor)), None
    for y in range(top, bottom, rows):
        band = on_white(image.crop((left, y, right, min(y + rows, bottom)))).reduce(factor)
        small = small or Image.new(band.mode, shape)
        small.paste(band, (0, (y - top) // factor))
    assert small is not None
    shifted = (box[0] - left, box[1] - top, box[2] - left, box[3] - top)
    inner = [value / factor for value in shifted]
    return small, (inner[0], inner[1], min(inner[2], small.width), min(inner[3], small.height))


def plain(image: Image.Image) -> Image.Image:
    """The picture as `L`, `RGB` or `RGBA`, eight bits a channel."""
    mode = image.mode
    if mode in ("LA", "PA", "La", "RGBa") or (mode in ("P", "L", "RGB", "1") and "transparency" in image.info):
        return image.convert("RGBA")
    if mode.startswith(("I", "F")):
        return eight_bits(image)
    if mode == "1":
        return image.convert("L")
    if mode == "P":
        return image.convert("RGB")
    return image if mode in ("L", "RGB", "RGBA") else image.convert("RGB")


def eight_bits(image: Image.Image) -> Image.Image:
    """Grey of 16 or 32 bits as 8: by the range that its numbers are meant for, else by the range that they have."""
    wide = image if image.mode in ("I", "F") else image.convert("I")
    low, high = (float(value) for value in wide.getextrema())  # type: ignore[arg-type]
    if low >= 0 and high <= 1 and image.mode == "F":
        low, high = 0.0, 1.0
    elif low >= 0 and high <= 255 and not image.mode.startswith("I;16"):
        low, high = 0.0, 255.0
    elif low >= 0 and high <= 65535:
        low, high = 0.0, 65535.0
    if not high - low < float("inf"):
        raise Refused("its numbers are not finite")
    scale = 255.0 / (high - low) if high > low else 0.0
    return wide.convert("F").point(lambda value: value * scale + (0.5 - low * scale)).convert("L")


def on_white(image: Image.Image) -> Image.Image:
    """A plain picture without its transparency: white shows where it is clear."""
    if image.mode != "RGBA":
        return image
    ground = Image.new("RGB", image.size, "white")
    ground.paste(image, mask=image)
    return ground


class PngRows:
    """A PNG whose rows are decoded from the top, as many at a time as are asked for, as `plain` pictures.

    Pillow decodes a small PNG for each band: the band's own filtered rows, and before them, unfiltered, the row above
    that their filters refer to.
    """

    def __init__(self, data: bytes) -> None:
        header = PNG_HEADER.unpack_from(data, 16)
        self.size = self.width, self.height = header[:2]
        self._fields = header[2:]
        self._tables, self._packed = self._chunks(data)
        self._zlib, self._above, self._y = zlib.decompressobj(), b"", 0
        self._row_bytes = 1 + self.width * CHANNELS[header[3]]

    @staticmethod
    def can_read(data: bytes) -> bool:
        """Whether it has eight bits a channel, is not interlaced, and nothing behind its pixels may ask for a turn."""
        _, _, depth, colour, _, _, interlaced = PNG_HEADER.unpack_from(data, 16)
        if data[12:16] != b"IHDR" or depth != 8 or colour not in CHANNELS or interlaced:
            return False
        behind = data[data.rfind(b"IDAT") :]
        return not any(tag in behind for tag in TURNS)

    @staticmethod
    def _chunks(data: bytes) -> tuple[bytes, Iterator[memoryview]]:
        """The chunks that tell what colours mean, and the compressed rows piece by piece."""
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
                raise Refused("cannot be decoded: image file is truncated")
            parts.append(self._zlib.decompress(piece, missing))
            missing -= len(parts[-1])
        band = self._decoded(parts, rows + bool(self._above))
        if self._above:
            band = band.crop((0, 1, self.width, rows + 1))
        self._above = b"\0" + band.crop((0, rows - 1, self.width, rows)).tobytes()
        self._y += rows
        return band

    def _decoded(self, filtered: list[bytes], rows: int) -> Image.Image:
        header = chunk(b"IHDR", PNG_HEADER.pack(self.width, rows, *self._fields))
        pixels = stored(filtered)
        start = struct.pack(">I4s", sum(map(len, pixels)), b"IDAT")
        data = b"".join((PNG_SIGNATURE, header, self._tables, start, *pixels, UNCHECKED, chunk(b"IEND", b"")))
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


if __name__ == "__main__":
    main()
