"""Pictures made for tests, and their files."""

import io
import zlib
from typing import Any

import numpy as np
from PIL import Image

from service.pictures.png_rows import HEADER, SIGNATURE, chunk


def picture(seed: int, size: tuple[int, int] = (40, 40), mode: str = "RGB") -> Image.Image:
    """A picture with a pattern of its own."""
    coarse = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).convert(mode)


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """The picture's file."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png(header: bytes, rows: bytes) -> bytes:
    """A PNG of these chunks."""
    chunks = ((b"IHDR", header), (b"IDAT", rows), (b"IEND", b""))
    return SIGNATURE + b"".join(chunk(kind, data) for kind, data in chunks)


def lying_png(width: int, height: int) -> bytes:
    """A PNG that says it is so large, with next to no data."""
    return png(HEADER.pack(width, height, 8, 2, 0, 0, 0), zlib.compress(bytes(1000)))


def large_png(width: int, height: int) -> bytes:
    """A PNG that is grey 77 all over, made row by row."""
    packer, row = zlib.compressobj(1), b"\0" + b"\x4d" * width
    rows = b"".join(packer.compress(row * 100) for _ in range(height // 100)) + packer.flush()
    return png(HEADER.pack(width, height, 8, 0, 0, 0, 0), rows)
