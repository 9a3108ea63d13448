"""Pictures as they are in the wild: each is read, or named with the reason; nothing stops an import."""

import io
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_sample_images

from service.errors import ImportRefusedError
from service.specs.dataset import ImportOptions
from tests.worker.importing.imports import encoded, import_path, picture, two_classes, write_folder
from worker.engine.data.batches import Batches
from worker.engine.runtime.torchvision_shim import torchvision
from worker.importing.arrays.npy import create_rows, open_rows
from worker.importing.images import decoder, pool
from worker.importing.images.pictures import choose_shape
from worker.importing.images.pool import Decoded, Decoders, Faulty, Outcome, Picture, Plan


def decode(folder: Path, files: list[bytes], side: int = 32, channels: int = 3, **plan: float) -> list[Outcome]:
    """What becomes of each file; the pixels lie in `x.npy`."""
    x, thumbs = folder / "x.npy", folder / "thumbs.npy"
    offset = create_rows(x, (len(files), side, side, channels), np.dtype(np.uint8))
    thumbs_offset = create_rows(thumbs, (len(files), 32, 32), np.dtype(np.uint8))
    wanted = []
    for number, data in enumerate(files):
        (folder / str(number)).write_bytes(data)
        wanted.append(Picture(str(number), "a", None, str(folder / str(number))))
    where = Plan(side, side, channels, x, offset, thumbs, thumbs_offset, **plan)  # type: ignore[arg-type]
    with Decoders(2) as decoders:
        done = [each for each in decoders.decode(wanted, where) if each is not None]
    assert sorted(index for index, _ in done) == list(range(len(files)))
    return [dict(done)[index] for index in range(len(files))]


def pixels(folder: Path, data: bytes, side: int = 32, channels: int = 3) -> NDArray[np.uint8]:
    """The packed pixels of one file."""
    [outcome] = decode(folder, [data], side, channels)
    assert isinstance(outcome, Decoded), outcome
    rows: NDArray[np.uint8] = np.array(open_rows(folder / "x.npy")[0])
    return rows


def reason(folder: Path, data: bytes) -> str:
    """Why a file cannot be used."""
    [outcome] = decode(folder, [data])
    assert isinstance(outcome, Faulty), outcome
    return outcome.reason


def png_header(width: int, height: int) -> bytes:
    """A PNG that says it is so large, with next to no data."""
    return png(decoder.PNG_HEADER.pack(width, height, 8, 2, 0, 0, 0), zlib.compress(bytes(1000)))


def large_png(width: int, height: int) -> bytes:
    """Grey 77 all over, made row by row."""
    packer, row = zlib.compressobj(1), b"\0" + b"\x4d" * width
    rows = b"".join(packer.compress(row * 100) for _ in range(height // 100)) + packer.flush()
    return png(decoder.PNG_HEADER.pack(width, height, 8, 0, 0, 0, 0), rows)


def png(header: bytes, rows: bytes) -> bytes:
    """The file."""
    chunks = ((b"IHDR", header), (b"IDAT", rows), (b"IEND", b""))
    return decoder.PNG_SIGNATURE + b"".join(decoder.chunk(*each) for each in chunks)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM", "GIF", "WEBP", "JPEG"])
def test_every_kind_of_file_is_read_by_its_content(tmp_path: Path, kind: str) -> None:
    original = picture(1, (32, 32))
    lossy = {"WEBP": 12.0, "JPEG": 12.0, "GIF": 12.0}
    difference = np.abs(pixels(tmp_path, encoded(original, kind)).astype(int) - np.asarray(original))
    assert difference.mean() <= lossy.get(kind, 0.0)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "L", "1", "P", "CMYK", "YCbCr", "I", "F", "I;16"])
def test_every_mode_looks_like_the_picture_it_shows(tmp_path: Path, mode: str) -> None:
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
    difference = np.abs(pixels(tmp_path, data).astype(int) - np.asarray(expected))
    assert difference.mean() < 2.0


def test_sixteen_bit_png_keeps_its_brightness(tmp_path: Path) -> None:
    ramp = np.linspace(0, 65535, 32 * 32).reshape(32, 32).astype(np.uint16)
    grey = pixels(tmp_path, encoded(Image.fromarray(ramp)), channels=1)[..., 0]
    assert np.abs(grey.astype(float) - ramp / 257).max() <= 1.0


def test_what_is_transparent_becomes_white(tmp_path: Path) -> None:
    clear = Image.new("RGBA", (64, 64), (255, 0, 0, 0))
    clear.paste((0, 0, 255, 255), (0, 0, 64, 32))
    image = pixels(tmp_path, encoded(clear))
    assert image[0, 0].tolist() == [0, 0, 255]
    assert image[-1, -1].tolist() == [255, 255, 255]
    palette = Image.new("P", (32, 32), 1)
    palette.putpalette([0, 0, 0, 255, 0, 0])
    assert pixels(tmp_path, encoded(palette, "GIF", transparency=1))[5, 5].tolist() == [255, 255, 255]


@pytest.mark.parametrize("turn", range(1, 9))
def test_pictures_are_turned_as_their_exif_data_say(tmp_path: Path, turn: int) -> None:
    upright = picture(3, (48, 32))
    back = {2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE", 6: "ROTATE_90",
            7: "TRANSVERSE", 8: "ROTATE_270"}  # fmt: skip
    stored = upright.transpose(Image.Transpose[back[turn]]) if turn in back else upright
    exif = Image.Exif()
    exif[0x0112] = turn
    [outcome] = decode(tmp_path, [encoded(stored, "PNG", exif=exif)])
    assert isinstance(outcome, Decoded)
    assert outcome.size == (48, 32)
    expected = np.asarray(upright.crop((8, 0, 40, 32)))
    assert np.abs(open_rows(tmp_path / "x.npy")[0].astype(int) - expected).max() <= 1


def test_of_an_animation_the_first_frame_is_taken(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (32, 32), colour) for colour in ("red", "green", "blue")]
    for kind in ("GIF", "WEBP", "PNG"):
        data = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
        assert np.abs(pixels(tmp_path, data)[3, 3].astype(int) - [255, 0, 0]).max() < 8


def test_what_cannot_be_read_says_why(tmp_path: Path) -> None:
    whole = encoded(picture(4, (200, 200)))
    assert reason(tmp_path, b"") == "an empty file"
    assert "truncated" in reason(tmp_path, whole[: len(whole) // 2])
    assert "truncated" in reason(tmp_path, encoded(picture(4, (200, 200)), "JPEG")[:3000])
    assert "cannot identify" in reason(tmp_path, b"<svg/>" * 100)
    assert "more than 1000 million" in reason(tmp_path, png_header(60_000, 60_000))
    assert "cannot be decoded" in reason(tmp_path, png_header(3000, 3000))


FAULTS = """
def answer(task, plan):
    if task[0] == 3:
        os.kill(os.getpid(), 9)
    if task[0] == 5:
        __import__("time").sleep(99)
    if task[0] == 6:
        os.write(1, b"nonsense\\n[1]\\n")
    return honest(task, plan)


"""


def test_a_decoder_that_dies_or_hangs_costs_one_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stub = tmp_path / "stub.py"
    stub.write_text(pool.DECODER.read_text().replace("def answer(", FAULTS + "def honest("))
    monkeypatch.setattr(pool, "DECODER", stub)
    outcomes = decode(tmp_path, [encoded(picture(n)) for n in range(12)], seconds=1.5)
    faults = {number: each.reason for number, each in enumerate(outcomes) if isinstance(each, Faulty)}
    assert faults[3] == "its decoder died (SIGKILL)"
    assert faults[5] == "decoding it takes longer than 1.5 s"
    assert faults[6] == "its decoder went astray"
    assert len(faults) <= 6


def test_a_picture_that_takes_too_much_memory_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "MEMORY_BYTES", 150 * 2**20)
    small, big = encoded(picture(1)), encoded(Image.new("RGB", (6000, 6000)), "BMP")
    outcomes = decode(tmp_path, [small, big, small])
    assert outcomes[1] == Faulty("decoding it takes more memory than a picture may")
    assert isinstance(outcomes[2], Decoded)


def test_a_huge_picture_is_decoded_apart_in_bounded_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "MAX_PIXELS", 10**6)
    monkeypatch.setattr(pool, "LARGE_MEMORY_BYTES", 220 * 2**20)  # 96 MB of pixels, once, and the interpreter
    image = Image.new("RGBA", (4000, 6000), (255, 0, 0, 255))
    image.paste((0, 0, 255, 0), (0, 3000, 4000, 6000))
    outcomes = decode(tmp_path, [encoded(image, "TIFF", compression="tiff_lzw"), encoded(picture(1))])
    assert isinstance(outcomes[0], Decoded), outcomes[0]
    assert outcomes[0].size == (4000, 6000)
    rows = open_rows(tmp_path / "x.npy")[0]
    assert (rows[0, 0].tolist(), rows[-1, -1].tolist()) == ([255, 0, 0], [255, 255, 255])


@pytest.mark.parametrize("mode", ["RGBA", "RGB", "P", "LA", "L"])
def test_huge_pngs_are_decoded_a_few_rows_at_a_time(mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `decoder.fit` makes them of the whole picture, in less memory than that takes."""
    image = picture(3, (2100, 900)).convert("RGBA")
    image.putalpha(picture(4, (2100, 900)).convert("L"))
    image = image.convert(mode) if mode != "P" else image.quantize(60)
    data = encoded(image)
    rows = decoder.PngRows(data)
    whole = decoder.plain(Image.open(io.BytesIO(data)))
    parts = [rows.crop((100, top, 2000, min(top + 250, 900))) for top in range(50, 900, 250)]
    assert {part.mode for part in parts} == {whole.mode}
    assert np.array_equal(np.concatenate([np.asarray(part) for part in parts]), np.asarray(whole)[50:, 100:2000])
    for size in ((64, 64), (500, 500)):
        streamed = decoder.fit(decoder.PngRows(data), *size)
        assert np.abs(np.asarray(streamed).astype(int) - np.asarray(decoder.fit(whole, *size))).max() <= 2


@pytest.mark.parametrize("mode", ["RGBA", "RGB", "P", "LA", "L"])
def test_larger_pngs_are_decompressed_faster_and_alike(mode: str, tmp_path: Path) -> None:
    """By zlib-ng, and to the very pixels that Pillow makes of them."""
    image = picture(3, (300, 300)).convert("RGBA")
    image.putalpha(picture(4, (300, 300)).convert("L"))
    data = encoded(image.quantize(60) if mode == "P" else image.convert(mode))
    with Image.open(io.BytesIO(data)) as original:
        assert original.width * original.height > decoder.FAST_PIXELS
        fast = decoder.loaded(original, data, fast=True)
        assert isinstance(fast, Image.Image)
        assert fast is not original
        assert np.array_equal(np.asarray(fast), np.asarray(decoder.plain(original)))


def test_larger_pngs_that_are_odd_or_broken_are_left_to_pillow(tmp_path: Path) -> None:
    upright = picture(3, (400, 300))
    data = encoded(upright.transpose(Image.Transpose.ROTATE_90))
    exif = Image.Exif()
    exif[0x0112] = 6
    late = data[:-12] + decoder.chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0")) + data[-12:]
    xmp = b'XML:com.adobe.xmp\0\0\0\0\0<x tiff:Orientation="6"/>'
    for odd in (late, data[:-12] + decoder.chunk(b"iTXt", xmp) + data[-12:]):
        [turned] = decode(tmp_path, [odd])
        assert isinstance(turned, Decoded)
        assert (turned.size, turned.turned) == ((400, 300), True)
    few = decoder.PNG_HEADER.pack(300, 300, 8, 0, 0, 0, 0)
    [short] = decode(tmp_path, [png(few, zlib.compress(bytes(301 * 290)) + bytes(2**24))])
    assert isinstance(short, Decoded), "Pillow leaves missing rows black"
    middle = len(data) // 2
    for broken in (data[:middle] + bytes(999) + data[middle + 999 :], data[:middle]):
        with pytest.raises(OSError, match=r"data stream|truncated") as pillow:
            Image.open(io.BytesIO(broken)).load()
        assert reason(tmp_path, broken).startswith(f"cannot be decoded: {str(pillow.value)[:25]}")
    without_end = encoded(upright)[:-12]
    assert np.array_equal(pixels(tmp_path, without_end, 300), np.asarray(upright.crop((50, 0, 350, 300))))


def test_a_png_of_600_million_pixels_is_packed_in_bounded_memory(tmp_path: Path) -> None:
    outcomes = decode(tmp_path, [large_png(30_000, 20_000), large_png(30_000, 20_000)[:-30_000], encoded(picture(1))])
    assert isinstance(outcomes[0], Decoded), outcomes[0]
    assert (outcomes[0].size, outcomes[0].mode) == ((30_000, 20_000), "L")
    assert outcomes[1] == Faulty("cannot be decoded: image file is truncated")
    assert np.abs(open_rows(tmp_path / "x.npy")[0].astype(int) - 77).max() <= 1


@pytest.mark.parametrize("size", [(1, 100_000), (100_000, 1), (1, 1), (3, 7), (31, 33)])
def test_odd_sizes_fit_the_square(tmp_path: Path, size: tuple[int, int]) -> None:
    assert pixels(tmp_path, encoded(Image.new("RGB", size, "red")))[16, 16].tolist() == [255, 0, 0]


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("turned", [False, True])
def test_photographs_are_packed_as_torchvision_would_show_them(tmp_path: Path, kind: str, turned: bool) -> None:
    """Packed at 256, then cropped as validation does, against Resize + CenterCrop + Normalize on the original."""
    crop, normalise = torchvision.transforms.CenterCrop(224), torchvision.transforms.Normalize((0.5,) * 3, (0.25,) * 3)
    tensor = torchvision.transforms.ToTensor()
    resize = torchvision.transforms.Resize(256)
    for array in load_sample_images().images:
        photo = Image.fromarray(array[::-1].transpose(1, 0, 2) if turned else array)
        original = Image.open(io.BytesIO(encoded(photo, kind)))
        expected = normalise(tensor(crop(resize(original))))
        packed = Image.fromarray(pixels(tmp_path, encoded(photo, kind), 256))
        difference = (normalise(tensor(crop(packed))) - expected).abs().mean()
        assert difference < 0.02 * expected.abs().mean()
        assert difference < 0.02


@pytest.mark.parametrize("side", [28, 64, 96, 140])
def test_photographs_that_are_shrunk_in_two_steps_are_as_good(side: int) -> None:
    """Against Resize + CenterCrop, after ImageNet's Normalize."""
    normalise = torchvision.transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    resize, crop = torchvision.transforms.Resize(side), torchvision.transforms.CenterCrop(side)
    tensor = torchvision.transforms.ToTensor()
    for array in load_sample_images().images:
        photo = Image.fromarray(array)
        expected = normalise(tensor(crop(resize(photo))))
        difference = (normalise(tensor(decoder.fit(photo, side, side))) - expected).abs().mean()
        assert difference < 0.01 * expected.abs().mean()


def test_validation_sees_imported_photographs_as_torchvision_would_show_them(tmp_path: Path) -> None:
    """From the files to the batches of every split: Resize, CenterCrop and ImageNet's Normalize, within 2 %."""
    photos = [Image.fromarray(array) for array in load_sample_images().images]
    cuts = {
        f"{name}/{left:03d}.jpg": photo.crop((left, left // 2, left + 500, left // 2 + 370))
        for name, photo in zip(("china", "flower"), photos, strict=True)
        for left in range(0, 140, 14)
    }
    files = {name: encoded(photo, "JPEG", quality=92) for name, photo in cuts.items()}
    imported = import_path(write_folder(tmp_path / "photographs", files), image_size=224)
    normalise = torchvision.transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    resize, crop = torchvision.transforms.Resize(224), torchvision.transforms.CenterCrop(224)
    tensor = torchvision.transforms.ToTensor()
    shown = [normalise(tensor(crop(resize(Image.open(io.BytesIO(files[name])))))) for name in sorted(files)]
    for split in ("train", "val", "test"):
        batches = Batches(imported.dataset, split, 64, torch.device("cpu"), normalize="imagenet")
        [batch] = batches.epoch(1)
        for index, image_CHW in zip(batches.indices_N, batch.inputs, strict=True):
            assert (image_CHW - shown[index]).abs().mean() < 0.02 * shown[index].abs().mean()


def test_large_photographs_are_close_to_torchvision_too(tmp_path: Path) -> None:
    tensor = torchvision.transforms.ToTensor()
    photo = Image.fromarray(load_sample_images().images[0]).resize((2560, 1708), Image.Resampling.BICUBIC)
    for kind, options in (("JPEG", {"quality": 95}), ("PNG", {"compress_level": 1})):
        packed = tensor(Image.fromarray(pixels(tmp_path, encoded(photo, kind, **options), 256)))
        original = Image.open(io.BytesIO(encoded(photo, kind, **options)))
        expected = tensor(torchvision.transforms.CenterCrop(256)(torchvision.transforms.Resize(256)(original)))
        assert (packed - expected).abs().mean() < 0.02 * expected.mean()


def test_small_pictures_of_one_size_keep_it_and_others_become_squares() -> None:
    def facts(width: int, height: int, mode: str = "RGB") -> Decoded:
        return Decoded(size=(width, height), mode=mode, format="PNG", frames=1, turned=False)

    assert choose_shape([facts(28, 20, "L")] * 2, None) == (20, 28, 1)
    assert choose_shape([facts(28, 20, "L"), facts(28, 20, "RGB")], None) == (20, 28, 3)
    assert choose_shape([facts(28, 28), facts(40, 90)], None) == (40, 40, 3)
    assert choose_shape([facts(1000, 800)] * 2, None) == (256, 256, 3)
    assert choose_shape([facts(28, 28)], 16) == (16, 16, 3)
    assert ImportOptions().image_size is None


def test_a_dataset_with_corrupt_files_is_refused_until_that_is_accepted(tmp_path: Path) -> None:
    files = two_classes() | {"cats/broken.png": b"\x89PNG", "dogs/empty.jpg": b""}
    tree = write_folder(tmp_path / "tree", files | {"dogs/heic.heic": b"ftyp"})
    with pytest.raises(ImportRefusedError, match=r"3 of 15 samples cannot be read.*cats/broken\.png") as caught:
        import_path(tree)
    assert caught.value.reason == "corrupt-files"
    imported = import_path(tree, drop_corrupt=True)
    assert len(imported.dataset.y) == imported.dataset.x.shape[0] == 12
    assert sorted(imported.reasons()) == ["cats/broken.png", "dogs/empty.jpg", "dogs/heic.heic"]
    assert imported.finding("corrupt_files") is not None
    clean = import_path(write_folder(tmp_path / "clean", two_classes()))
    assert clean.hash == imported.hash


def test_what_was_done_to_single_pictures_is_told(tmp_path: Path) -> None:
    files = two_classes() | {"cats/clear.png": encoded(picture(50, mode="RGBA")),
                             "cats/misnamed.jpg": encoded(picture(51)),
                             "dogs/noextension": encoded(picture(52))}  # fmt: skip
    imported = import_path(write_folder(tmp_path / "tree", files))
    assert len(imported.dataset.y) == 15
    for name, example in (("transparent", "cats/clear.png"), ("misnamed", "cats/misnamed.jpg")):
        finding = imported.finding(name)
        assert finding is not None
        assert finding.evidence["examples"] == [example]
    assert imported.profile.modes == {"RGB": 14, "RGBA": 1}
