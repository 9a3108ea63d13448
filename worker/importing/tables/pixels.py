"""Tables whose features are the pixels of grey pictures: columns `pixel0`, `pixel1`, ... or one cell of all pixels."""

import math
import os
import re
from collections.abc import Sequence
from pathlib import Path

from worker.importing.arrays.packing import pack_images, scan
from worker.importing.npy_rows import open_rows
from worker.importing.raw_data import RawData
from worker.importing.tables.columns import Column, Encoding, Kind

MIN_SIDE = 8
PIXEL = re.compile(r"(?:pixels?|px|pix|p)[\s_.-]?(\d+)(?:[\s_.x-](\d+))?|(\d+)x(\d+)", re.IGNORECASE)


def make_pictures(raw: RawData, columns: Sequence[Column], encodings: Sequence[Encoding], scratch: Path) -> str | None:
    """Packs square pictures in place of the features; what was done, or None where the features are no pixels."""
    side = math.isqrt(raw.x.shape[1])
    if side < MIN_SIDE or side**2 != raw.x.shape[1] or not _are_pixels([columns[e.column] for e in encodings]):
        return None
    numbers = scan([raw.x])
    if numbers.missing or numbers.low < 0 or numbers.high > 255:
        return None
    packed, spare = scratch / "packed" / "x.npy", scratch / "pixels.npy"
    os.replace(packed, spare)
    raw.x = pack_images([open_rows(spare).reshape(-1, side, side)], numbers, packed)
    raw.feature_names, raw.categories, raw.impute = [], {}, None
    raw.value_range = (numbers.low, numbers.high)
    return f"the {side**2:,} numbers of each row are the pixels of a grey picture of {side} x {side}"


def _are_pixels(columns: Sequence[Column]) -> bool:
    """Whether one column holds all pixels, or each is called as a pixel is, in order."""
    if len(columns) == 1:
        return columns[0].kind == Kind.SEVERAL_NUMBERS
    places = [PIXEL.fullmatch(column.name) for column in columns]
    numbers = [[int(number) for number in place.groups() if number] for place in places if place is not None]
    return len(numbers) == len(columns) and numbers == sorted(numbers)
