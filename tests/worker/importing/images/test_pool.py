"""Decoder processes: each picture is packed, or named with the reason; one that dies or hangs costs one picture."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from service.pictures import Shape, decode
from tests.service.pictures.drawings import encoded, large_png, picture
from worker.importing.archives.listing import Faulty, Member
from worker.importing.images import pool
from worker.importing.images.decoder import Plan
from worker.importing.images.pool import Decoded, Decoders, Outcome
from worker.importing.npy_rows import create_rows, open_rows


def packed(folder: Path, files: list[bytes], seconds: float = pool.SECONDS) -> list[Outcome]:
    """What becomes of each file; the pixels (32,32,3) lie in `x.npy`."""
    x, thumbs = folder / "x.npy", folder / "thumbs.npy"
    offset = create_rows(x, (len(files), 32, 32, 3), np.dtype(np.uint8))
    thumbs_offset = create_rows(thumbs, (len(files), 32, 32), np.dtype(np.uint8))
    members = []
    for number, data in enumerate(files):
        (folder / str(number)).write_bytes(data)
        members.append(Member(str(number), str(folder / str(number))))
    plan = Plan(32, 32, 3, str(x), offset, str(thumbs), thumbs_offset)
    with Decoders(2) as decoders:
        done = [answer for answer in decoders.decode(members, plan, seconds) if answer is not None]
    assert sorted(index for index, _ in done) == list(range(len(files)))
    return [dict(done)[index] for index in range(len(files))]


def test_pictures_are_packed_as_they_are_decoded_anywhere(tmp_path: Path) -> None:
    """The very pixels: a network that was trained on them can be asked of a single picture."""
    files = [encoded(picture(n, (50 + n, 40)), kind) for n, kind in enumerate(("PNG", "JPEG", "GIF", "WEBP"))]
    files += [encoded(picture(9, (900, 700), "RGBA")), encoded(picture(9, (3000, 2000)), "JPEG")]
    outcomes = packed(tmp_path, files)
    assert all(isinstance(outcome, Decoded) for outcome in outcomes)
    for row, data in zip(open_rows(tmp_path / "x.npy"), files, strict=True):
        assert np.array_equal(row, np.asarray(decode(data, Shape(32, 32, 3))[1]))
    thumbs = open_rows(tmp_path / "thumbs.npy")
    assert thumbs[0].tolist() == np.asarray(Image.fromarray(open_rows(tmp_path / "x.npy")[0]).convert("L")).tolist()


FAULTS = """
import os
honest = decoder.answer

def answer(task, packer):
    if task[0] == 3:
        os.kill(os.getpid(), 9)
    if task[0] == 5:
        __import__("time").sleep(99)
    if task[0] == 6:
        os.write(1, b"nonsense\\n[1]\\n")
    return honest(task, packer)

decoder.answer = answer
decoder.main("""


def test_a_decoder_that_dies_or_hangs_costs_one_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "PROGRAM", pool.PROGRAM.replace("decoder.main(", FAULTS))
    outcomes = packed(tmp_path, [encoded(picture(n)) for n in range(12)], seconds=1.5)
    faults = {number: outcome.reason for number, outcome in enumerate(outcomes) if isinstance(outcome, Faulty)}
    assert faults[3] == "the decoder process died (SIGKILL)"
    assert faults[5] == "decoding it takes longer than 1.5 s"
    assert faults[6] == "the decoder returned an invalid response"
    assert len(faults) <= 6


def test_a_picture_that_takes_too_much_memory_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "MEMORY_BYTES", 150 * 2**20)
    small, big = encoded(picture(1)), encoded(Image.new("RGB", (6000, 6000)), "BMP")
    outcomes = packed(tmp_path, [small, big, small])
    assert outcomes[1] == Faulty("decoding it takes more memory than a picture may")
    assert isinstance(outcomes[2], Decoded)


def test_a_huge_picture_is_decoded_apart_in_bounded_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "MAX_PIXELS", 10**6)
    monkeypatch.setattr(pool, "LARGE_MEMORY_BYTES", 220 * 2**20)  # 96 MB of pixels, once, and the interpreter
    image = Image.new("RGBA", (4000, 6000), (255, 0, 0, 255))
    image.paste((0, 0, 255, 0), (0, 3000, 4000, 6000))
    outcomes = packed(tmp_path, [encoded(image, "TIFF", compression="tiff_lzw"), encoded(picture(1))])
    assert isinstance(outcomes[0], Decoded), outcomes[0]
    assert outcomes[0].size == (4000, 6000)
    rows = open_rows(tmp_path / "x.npy")[0]
    assert (rows[0, 0].tolist(), rows[-1, -1].tolist()) == ([255, 0, 0], [255, 255, 255])


def test_a_png_of_600_million_pixels_is_packed_in_bounded_memory(tmp_path: Path) -> None:
    outcomes = packed(tmp_path, [large_png(30_000, 20_000), large_png(30_000, 20_000)[:-30_000], encoded(picture(1))])
    assert isinstance(outcomes[0], Decoded), outcomes[0]
    assert (outcomes[0].size, outcomes[0].mode) == ((30_000, 20_000), "L")
    assert outcomes[1] == Faulty("cannot be decoded: image file is truncated")
    assert np.abs(open_rows(tmp_path / "x.npy")[0].astype(int) - 77).max() <= 1


def test_files_that_are_no_pictures_say_why(tmp_path: Path) -> None:
    outcomes = packed(tmp_path, [b"", b"<svg/>" * 100, encoded(picture(4, (200, 200)))[:3000]])
    reasons = [outcome.reason for outcome in outcomes if isinstance(outcome, Faulty)]
    assert reasons[0] == "an empty file"
    assert reasons[1] == "an SVG drawing, which is not read"
    assert "truncated" in reasons[2]
