"""Opens a picture with Pillow, looks at its header before its pixels, and decodes it."""

import io
from contextlib import suppress

from PIL import Image, ImageOps, features

from service.pictures import MAX_PIXELS, MAX_STREAMED_PIXELS, Facts, PictureError, Scale, Shape, TooManyPixels
from service.pictures.pixels import fit, plain, span_of
from service.pictures.png_rows import PngRows
from service.pictures.signatures import is_picture, other_kind

FORMATS = ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", *(["AVIF"] if features.check("avif") else [])]
SAME_FORMATS = {"MPO": "JPEG"}
"""A phone's JPEG with a second picture behind the first is a JPEG to everybody."""
SEVERAL_FRAMES = ("GIF", "WEBP", "PNG", "TIFF", "AVIF")
FAST_PIXELS = 2**16
"""PNGs with more pixels are decompressed by zlib-ng, which is several times as fast as the zlib that Pillow uses."""
STREAM_PIXELS = 2**24
"""PNGs with more pixels are decoded a few rows at a time."""
Image.MAX_IMAGE_PIXELS = None  # the limits are ours, and looked at before anything is loaded


def read_header(data: bytes) -> Facts:
    """What a picture says of itself; raises PictureError when it could not be decoded for its size."""
    with _open(data) as image:
        facts = _facts(image)
        _guard(image, data, Shape(1, 1, 3), None)
        return _upright(facts, orientation(image))


def decode(data: bytes, shape: Shape, max_pixels: int | None, scale: Scale | None) -> tuple[Facts, Image.Image]:
    """The picture as `L` or `RGB` of that shape, with what was known of it before."""
    with _open(data) as image:
        facts = _facts(image)
        is_fast = _guard(image, data, shape, max_pixels)
        source = load(image, data, fast=is_fast)
        turned = orientation(image)
        if isinstance(source, Image.Image):
            upright = source if turned == 1 else ImageOps.exif_transpose(source)
            facts = facts._replace(span=span_of(upright))
            source = plain(upright, scale)
        packed = fit(source, shape.width, shape.height).convert("L" if shape.channels == 1 else "RGB")
    return _upright(facts, turned), packed


def _open(data: bytes) -> Image.Image:
    """PictureError says what the file really is where it is no picture that can be read."""
    try:
        return Image.open(io.BytesIO(data), formats=FORMATS)
    except Exception:  # what Pillow raises of a text that happens to begin as a picture does is of any kind
        kind = None if is_picture(data) else other_kind(data)
        if kind is None:
            raise
        advice = "; convert it to PNG or JPEG" if kind.endswith("picture") else ""
        raise PictureError(f"{kind}, which is not read{advice}") from None


def _facts(image: Image.Image) -> Facts:
    frames = 1
    with suppress(Exception):  # a damaged second page does not take the first away
        frames = getattr(image, "n_frames", 1) if image.format in SEVERAL_FRAMES else 1
    kind = str(image.format)
    is_halved = not image.mode.startswith(("I", "F")) and any(
        ";16" in str(tile[3]) for tile in getattr(image, "tile", ())
    )
    return Facts(
        image.size, image.mode, SAME_FORMATS.get(kind, kind), frames, turned=False, span=None, is_halved=is_halved
    )


def _upright(facts: Facts, turned: int) -> Facts:
    return facts._replace(size=facts.size[::-1] if turned >= 5 else facts.size, turned=turned != 1)


def _guard(image: Image.Image, data: bytes, shape: Shape, max_pixels: int | None) -> bool:
    """Refuses what has too many pixels, of JPEGs after they were scaled down; whether zlib-ng may decompress it."""
    size = image.size
    image.draft("RGB" if image.mode == "RGB" else None, (2 * shape.width, 2 * shape.height))
    pixels = image.width * image.height
    is_fast = image.format == "PNG" and pixels > FAST_PIXELS and PngRows.can_read(data) and orientation(image) == 1
    limit = MAX_STREAMED_PIXELS if is_fast else MAX_PIXELS
    if pixels > limit:
        raise PictureError(f"{size[0]} x {size[1]} pixels are more than {limit // 10**6} million")
    if max_pixels is not None and pixels > (MAX_PIXELS if is_fast else max_pixels):
        raise TooManyPixels
    return is_fast


def load(image: Image.Image, data: bytes, *, fast: bool) -> Image.Image | PngRows:
    """The picture with its pixels, or their source where they are too many to have at once."""
    if fast:
        rows = PngRows(data)
        if rows.width * rows.height > STREAM_PIXELS:
            return rows
        with suppress(Exception):  # what is wrong, and whether it can be used all the same, Pillow decides
            return rows.crop((0, 0, *rows.size))
    image.load()
    return image


def orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 where there is none or it cannot be read (a PNG's may lie behind its pixels)."""
    try:
        turned = Image.Image.getexif(image).get(0x0112, 1)  # a PNG's own method would load its pixels
    except Exception:  # noqa: BLE001  (broken EXIF data do not make a broken picture)
        return 1
    return turned if turned in range(1, 9) else 1
