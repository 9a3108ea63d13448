"""IDX files made for tests."""

import gzip
from pathlib import Path

import numpy as np


def idx(array: np.ndarray) -> bytes:
    head = bytes([0, 0, 8, array.ndim]) + b"".join(int(size).to_bytes(4, "big") for size in array.shape)
    return head + array.astype(np.uint8).tobytes()


def write(folder: Path, compress: bool = False, samples: int = 20) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for prefix in ("train", "t10k"):
        for stem, array in (
            (f"{prefix}-images-idx3-ubyte", np.arange(samples * 16).reshape(samples, 4, 4) % 256),
            (f"{prefix}-labels-idx1-ubyte", np.arange(samples) % 3),
        ):
            data = idx(array)
            (folder / (stem + ".gz" if compress else stem)).write_bytes(gzip.compress(data) if compress else data)
    return folder
