"""PNGs decoded a few rows at a time: the very pixels that Pillow decodes at once."""

import io

import numpy as np
import pytest
from PIL import Image

from service.pictures.pixels import fit, plain
from service.pictures.png_rows import PngRows
from tests.service.pictures.drawings import encoded, picture


@pytest.mark.parametrize("mode", ["RGBA", "RGB", "P", "LA", "L"])
def test_huge_pngs_are_decoded_a_few_rows_at_a_time(mode: str) -> None:
    image = picture(3, (2100, 900)).convert("RGBA")
    image.putalpha(picture(4, (2100, 900)).convert("L"))
    data = encoded(image.convert(mode) if mode != "P" else image.quantize(60))
    rows = PngRows(data)
    whole = plain(Image.open(io.BytesIO(data)))
    parts = [rows.crop((100, top, 2000, min(top + 250, 900))) for top in range(50, 900, 250)]
    assert {part.mode for part in parts} == {whole.mode}
    assert np.array_equal(np.concatenate([np.asarray(part) for part in parts]), np.asarray(whole)[50:, 100:2000])
    for size in ((64, 64), (500, 500)):
        streamed = fit(PngRows(data), *size)
        assert np.abs(np.asarray(streamed).astype(int) - np.asarray(fit(whole, *size))).max() <= 2


@pytest.mark.parametrize(
    ("options", "is_read"),
    [({}, True), ({"mode": "1"}, False), ({"mode": "I;16"}, False), ({"exif": b"Exif\0\0II*\0"}, True)],
)
def test_only_plain_pngs_are_read_row_by_row(options: dict[str, str], is_read: bool) -> None:
    mode = options.pop("mode", "RGB")
    assert PngRows.can_read(encoded(picture(1).convert("I;16" if mode == "I;16" else mode), **options)) == is_read
