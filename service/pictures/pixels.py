"""The pixels of a decoded picture: grey or RGB of eight bits, on a white ground, cropped and resized."""

from typing import Protocol

from PIL import Image

from service.pictures import PictureError, Scale

BAND_PIXELS = 2**20
"""Large pictures are reduced band by band, so that no second full-size copy is made."""
REDUCING_GAP = 2.0
"""Pictures are first shrunk by blocks, which is many times as fast, to no less than so many times their last size.
Photographs change by less than 1 % of what ImageNet's normalisation leaves of them (with 1.5 by up to 1.8 %)."""
Box = tuple[float, float, float, float]


class Source(Protocol):
    """A picture, or what gives the pixels of one that is too large to have at once, from the top downwards."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""

    def crop(self, box: tuple[int, int, int, int]) -> Image.Image:
        """A part of it, as `plain` makes it."""


def plain(image: Image.Image, scale: Scale | None = None) -> Image.Image:
    """The picture as `L`, `RGB` or `RGBA`, eight bits a channel; `scale` makes them of more."""
    mode = image.mode
    if mode in ("LA", "PA", "La", "RGBa") or (mode in ("P", "L", "RGB", "1") and "transparency" in image.info):
        return image.convert("RGBA")
    if mode.startswith(("I", "F")):
        return eight_bits(image, scale)
    if mode == "1":
        return image.convert("L")
    if mode == "P":
        return image.convert("RGB")
    return image if mode in ("L", "RGB", "RGBA") else image.convert("RGB")


def span_of(image: Image.Image) -> tuple[float, float] | None:
    """The smallest and the largest number of grey with 16 or 32 bits; None for pictures of eight."""
    if not image.mode.startswith(("I", "F")):
        return None
    low, high = (float(value) for value in _wide(image).getextrema())  # type: ignore[arg-type]
    if not high - low < float("inf"):
        raise PictureError("its numbers are not finite")
    return low, high


def _wide(image: Image.Image) -> Image.Image:
    return image if image.mode in ("I", "F") else image.convert("I")


def eight_bits(image: Image.Image, scale: Scale | None = None) -> Image.Image:
    """Grey of 16 or 32 bits as 8: by a scale, else by the range that its numbers are meant for or that they have."""
    factor, summand = scale or _own_scale(image)
    return _wide(image).convert("F").point(lambda value: value * factor + (0.5 + summand)).convert("L")


def _own_scale(image: Image.Image) -> Scale:
    low, high = span_of(image) or (0.0, 255.0)
    if low >= 0 and high <= 1 and image.mode == "F":
        low, high = 0.0, 1.0
    elif low >= 0 and high <= 255 and not image.mode.startswith("I;16"):
        low, high = 0.0, 255.0
    elif low >= 0 and high <= 65535:
        low, high = 0.0, 65535.0
    factor = 255.0 / (high - low) if high > low else 0.0
    return factor, -low * factor


def on_white(image: Image.Image) -> Image.Image:
    """A plain picture without its transparency: white shows where it is clear."""
    if image.mode != "RGBA":
        return image
    ground = Image.new("RGB", image.size, "white")
    ground.paste(image, mask=image)
    return ground


def fit(image: Source, width: int, height: int) -> Image.Image:
    """What torchvision's Resize(shorter side) and CenterCrop make of a plain picture on a white ground: `L` or `RGB`.

    Only the square that is kept is resampled; its place is torchvision's to the fraction of a pixel.
    """
    if isinstance(image, Image.Image) and image.size == (width, height):
        return on_white(image)
    box = crop_box(image.size, width, height)
    factor = max(int(min((box[2] - box[0]) / width, (box[3] - box[1]) / height) / REDUCING_GAP), 1)
    if factor > 1 or not isinstance(image, Image.Image):
        image, box = reduce(image, factor, box)
    return on_white(image).resize((width, height), Image.Resampling.BILINEAR, box=box)


def crop_box(size: tuple[int, int], width: int, height: int) -> Box:
    """The part of the original that Resize + CenterCrop keep, in its own coordinates."""
    short = min(size)
    resized = [max(int(width * side / short), 1) for side in size]
    scale = [side / small for side, small in zip(size, resized, strict=True)]
    left, top = (round((small - kept) / 2.0) for small, kept in zip(resized, (width, height), strict=True))
    box = (left * scale[0], top * scale[1], (left + width) * scale[0], (top + height) * scale[1])
    return (max(box[0], 0.0), max(box[1], 0.0), min(box[2], size[0]), min(box[3], size[1]))


def reduce(image: Source, factor: int, box: Box) -> tuple[Image.Image, Box]:
    """The part of the picture around `box` shrunk by a whole factor, band by band, and the box within it."""
    margin = 2 * factor
    left, top = max(int(box[0]) - margin, 0), max(int(box[1]) - margin, 0)
    right = min(int(box[2]) + 1 + margin, image.size[0])
    bottom = min(int(box[3]) + 1 + margin, image.size[1])
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
