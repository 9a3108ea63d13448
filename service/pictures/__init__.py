"""One picture of unknown origin: guarded, decoded and brought to a size, for imports.

Pillow is imported with the first picture: who may never see one does not wait for it.
"""

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from PIL import Image

MAX_PIXELS = 200 * 10**6
MAX_STREAMED_PIXELS = 10**9
"""Of PNGs that are decoded a few rows at a time."""


Scale = tuple[float, float]
"""Factor and summand that make 0 to 255 of a picture's numbers."""


class PictureError(Exception):
    """The picture cannot be used; the message says why."""


class TooManyPixels(Exception):
    """The picture has more pixels than the caller wants to hold at once."""


class Facts(NamedTuple):
    """What is known of a picture before it was changed."""

    size: tuple[int, int]
    """Width and height, the right way up."""
    mode: str
    """Pillow's name of what its numbers mean."""
    format: str
    frames: int
    turned: bool
    """Whether EXIF data asked for a turn."""
    span: tuple[float, float] | None = None
    """Smallest and largest number of a picture of 16 or 32 bits, once its pixels were read."""
    is_halved: bool = False
    """Whether it has 16 bits a channel of colour, of which Pillow reads the upper 8."""


class Shape(NamedTuple):
    """What pictures are brought to; one channel is grey, three are red, green and blue."""

    height: int
    width: int
    channels: int


def read_header(data: bytes) -> Facts:
    """What a picture says of itself, before its pixels are looked at; raises as `decode` does."""
    from service.pictures import decoding

    return decoding.read_header(data)


def decode(
    data: bytes, shape: Shape, max_pixels: int | None = None, scale: Scale | None = None
) -> "tuple[Facts, Image.Image]":
    """The picture as the middle of it fits the shape: upright, the first frame, transparency on white, 8 bits.

    `scale` makes 8 bits of more; without it the range that a picture's numbers seem to be meant for does.

    Raises PictureError, TooManyPixels where more than `max_pixels` would have to be held at once, and whatever Pillow
    raises for files that are damaged: `reason` says it in words.
    """
    from service.pictures import decoding

    return decoding.decode(data, shape, max_pixels, scale)


def reason(error: Exception) -> str:
    """Why a picture cannot be used, by what decoding it raised."""
    if isinstance(error, PictureError):
        return str(error)
    if isinstance(error, MemoryError):
        return "decoding it takes more memory than a picture may"
    text = str(error).replace(repr(error), "").split("<_io")[0].strip() or type(error).__name__
    return f"cannot be decoded: {text[:200]}"
