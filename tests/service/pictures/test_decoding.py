"""Pictures as they are in the wild: each is decoded as it is meant to be seen, or refused with the reason."""

import io
import subprocess
import sys
import zlib

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_sample_images

from service import pictures
from service.pictures import Facts, Shape, TooManyPixels, decode, decoding, read_header
from service.pictures.pixels import plain
from service.pictures.png_rows import HEADER, chunk
from tests.service.pictures.drawings import encoded, large_png, lying_png, picture, png
from worker.engine.runtime.torchvision_shim import torchvision


def pixels(data: bytes, side: int = 32, channels: int = 3) -> NDArray[np.uint8]:
    """The decoded picture (H,W), or (H,W,3)."""
    return np.asarray(decode(data, Shape(side, side, channels))[1])


def reason(data: bytes) -> str:
    """Why a file cannot be used."""
    try:
        decode(data, Shape(32, 32, 3))
    except Exception as error:  # noqa: BLE001  (Pillow raises many kinds)
        return pictures.reason(error)
    raise AssertionError("it can be used")


def test_pillow_is_imported_with_the_first_picture() -> None:
    program = "import sys, service.pictures; print({'PIL', 'numpy', 'pydantic'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM", "GIF", "WEBP", "JPEG"])
def test_every_kind_of_file_is_read_by_its_content(kind: str) -> None:
    original = picture(1, (32, 32))
    lossy = {"WEBP": 12.0, "JPEG": 12.0, "GIF": 12.0}
    difference = np.abs(pixels(encoded(original, kind)).astype(int) - np.asarray(original))
    assert difference.mean() <= lossy.get(kind, 0.0)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "L", "1", "P", "CMYK", "YCbCr", "I", "F", "I;16"])
def test_every_mode_looks_like_the_picture_it_shows(mode: str) -> None:
    original = picture(2, (32, 32))
    grey = original.convert("L")
    if mode == "I;16":
        deep = np.asarray(grey).astype(np.uint16) * 257
        data, expected = encoded(Image.fromarray(deep), "TIFF"), grey.convert("RGB")
    elif mode in ("I", "F"):
        data, expected = encoded(grey.convert(mode), "TIFF"), grey.convert("RGB")
    else:
        converted = original.convert(mode)
        kind = "TIFF" if mode in ("CMYK", "YCbCr") else "PNG"
        data, expected = encoded(converted, kind), converted.convert("RGB")
    difference = np.abs(pixels(data).astype(int) - np.asarray(expected))
    assert difference.mean() < 2.0


def test_sixteen_bit_png_keeps_its_brightness() -> None:
    ramp = np.linspace(0, 65535, 32 * 32).reshape(32, 32).astype(np.uint16)
    grey = pixels(encoded(Image.fromarray(ramp)), channels=1)
    assert np.abs(grey.astype(float) - ramp / 257).max() <= 1.0


def test_what_is_transparent_becomes_white() -> None:
    clear = Image.new("RGBA", (64, 64), (255, 0, 0, 0))
    clear.paste((0, 0, 255, 255), (0, 0, 64, 32))
    image = pixels(encoded(clear))
    assert image[0, 0].tolist() == [0, 0, 255]
    assert image[-1, -1].tolist() == [255, 255, 255]
    palette = Image.new("P", (32, 32), 1)
    palette.putpalette([0, 0, 0, 255, 0, 0])
    assert pixels(encoded(palette, "GIF", transparency=1))[5, 5].tolist() == [255, 255, 255]


@pytest.mark.parametrize("turn", range(1, 9))
def test_pictures_are_turned_as_their_exif_data_say(turn: int) -> None:
    upright = picture(3, (48, 32))
    back = {2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE", 6: "ROTATE_90",
            7: "TRANSVERSE", 8: "ROTATE_270"}  # fmt: skip
    stored = upright.transpose(Image.Transpose[back[turn]]) if turn in back else upright
    exif = Image.Exif()
    exif[0x0112] = turn
    data = encoded(stored, "PNG", exif=exif)
    facts, packed = decode(data, Shape(32, 32, 3))
    assert facts == read_header(data) == Facts((48, 32), "RGB", "PNG", 1, turned=turn != 1)
    expected = np.asarray(upright.crop((8, 0, 40, 32)))
    assert np.abs(np.asarray(packed).astype(int) - expected).max() <= 1


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_of_an_animation_the_first_frame_is_taken(kind: str) -> None:
    frames = [Image.new("RGB", (32, 32), color) for color in ("red", "green", "blue")]
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
    assert np.abs(pixels(data)[3, 3].astype(int) - [255, 0, 0]).max() < 8
    assert read_header(data).frames == 3


def test_what_cannot_be_read_says_why() -> None:
    whole = encoded(picture(4, (200, 200)))
    assert "truncated" in reason(whole[: len(whole) // 2])
    assert "truncated" in reason(encoded(picture(4, (200, 200)), "JPEG")[:3000])
    assert reason(b"\x01\x02" * 100) == "cannot be decoded: cannot identify image file"
    assert reason(lying_png(60_000, 60_000)) == "60000 x 60000 pixels are more than 1000 million"
    assert "cannot be decoded" in reason(lying_png(3000, 3000))
    assert pictures.reason(MemoryError()) == "decoding it takes more memory than a picture may"
    deep = encoded(Image.fromarray(np.array([[np.inf, 1.0]], np.float32)), "TIFF")
    assert reason(deep) == "its numbers are not finite"


@pytest.mark.parametrize("kind", ["BMP", "PNG", "JPEG"])
def test_who_cannot_hold_so_many_pixels_is_told(kind: str) -> None:
    """A JPEG is scaled down while it is decoded, and a PNG can be decoded a few rows at a time."""
    data = encoded(Image.new("RGB", (1000, 1000)), kind)
    decode(data, Shape(8, 8, 3), 1000 * 1000)
    if kind == "BMP":
        with pytest.raises(TooManyPixels):
            decode(data, Shape(8, 8, 3), 1000 * 1000 - 1)
    else:
        decode(data, Shape(8, 8, 3), 1000 * 1000 - 1)


@pytest.mark.parametrize("size", [(1, 100_000), (100_000, 1), (1, 1), (3, 7), (31, 33)])
def test_odd_sizes_fit_the_square(size: tuple[int, int]) -> None:
    assert pixels(encoded(Image.new("RGB", size, "red")))[16, 16].tolist() == [255, 0, 0]


@pytest.mark.parametrize("mode", ["RGBA", "RGB", "P", "LA", "L"])
def test_larger_pngs_are_decompressed_faster_and_alike(mode: str) -> None:
    """By zlib-ng, and to the very pixels that Pillow makes of them."""
    image = picture(3, (300, 300)).convert("RGBA")
    image.putalpha(picture(4, (300, 300)).convert("L"))
    data = encoded(image.quantize(60) if mode == "P" else image.convert(mode))
    with Image.open(io.BytesIO(data)) as original:
        assert original.width * original.height > decoding.FAST_PIXELS
        fast = decoding.load(original, data, fast=True)
        assert isinstance(fast, Image.Image)
        assert fast is not original
        assert np.array_equal(np.asarray(fast), np.asarray(plain(original)))


def test_larger_pngs_that_are_odd_or_broken_are_left_to_pillow() -> None:
    upright = picture(3, (400, 300))
    data = encoded(upright.transpose(Image.Transpose.ROTATE_90))
    exif = Image.Exif()
    exif[0x0112] = 6
    late = data[:-12] + chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0")) + data[-12:]
    xmp = b'XML:com.adobe.xmp\0\0\0\0\0<x tiff:Orientation="6"/>'
    for odd in (late, data[:-12] + chunk(b"iTXt", xmp) + data[-12:]):
        facts, _ = decode(odd, Shape(32, 32, 3))
        assert (facts.size, facts.turned) == ((400, 300), True)
    few = HEADER.pack(300, 300, 8, 0, 0, 0, 0)
    short = pixels(png(few, zlib.compress(bytes(301 * 290)) + bytes(2**24)))
    assert short[-1].max() == 0, "Pillow leaves missing rows black"
    middle = len(data) // 2
    for broken in (data[:middle] + bytes(999) + data[middle + 999 :], data[:middle]):
        with pytest.raises(OSError, match=r"data stream|truncated") as pillow:
            Image.open(io.BytesIO(broken)).load()
        assert reason(broken).startswith(f"cannot be decoded: {str(pillow.value)[:25]}")
    without_end = encoded(upright)[:-12]
    assert np.array_equal(pixels(without_end, 300), np.asarray(upright.crop((50, 0, 350, 300))))


def test_a_png_of_many_pixels_is_decoded_a_few_rows_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "STREAM_PIXELS", 2**18)
    facts, packed = decode(large_png(900, 600), Shape(32, 32, 1))
    assert (facts.size, facts.mode) == ((900, 600), "L")
    assert np.abs(np.asarray(packed).astype(int) - 77).max() <= 1
    assert reason(large_png(900, 600)[:-900]) == "cannot be decoded: image file is truncated"


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("turned", [False, True])
def test_photographs_are_packed_as_torchvision_would_show_them(kind: str, turned: bool) -> None:
    """Packed at 256, then cropped as validation does, against Resize + CenterCrop + Normalize on the original."""
    crop, normalise = torchvision.transforms.CenterCrop(224), torchvision.transforms.Normalize((0.5,) * 3, (0.25,) * 3)
    tensor = torchvision.transforms.ToTensor()
    resize = torchvision.transforms.Resize(256)
    for array in load_sample_images().images:
        photo = Image.fromarray(array[::-1].transpose(1, 0, 2) if turned else array)
        original = Image.open(io.BytesIO(encoded(photo, kind)))
        expected = normalise(tensor(crop(resize(original))))
        packed = Image.fromarray(pixels(encoded(photo, kind), 256))
        difference = (normalise(tensor(crop(packed))) - expected).abs().mean()
        assert difference < 0.02 * expected.abs().mean()
        assert difference < 0.02


def test_large_photographs_are_close_to_torchvision_too() -> None:
    tensor = torchvision.transforms.ToTensor()
    photo = Image.fromarray(load_sample_images().images[0]).resize((2560, 1708), Image.Resampling.BICUBIC)
    for kind, options in (("JPEG", {"quality": 95}), ("PNG", {"compress_level": 1})):
        packed = tensor(Image.fromarray(pixels(encoded(photo, kind, **options), 256)))
        original = Image.open(io.BytesIO(encoded(photo, kind, **options)))
        expected = tensor(torchvision.transforms.CenterCrop(256)(torchvision.transforms.Resize(256)(original)))
        assert (packed - expected).abs().mean() < 0.02 * expected.mean()
