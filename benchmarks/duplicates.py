"""Near duplicates among 100,000 pictures: the seconds it takes, how that grows, and what is found of planted copies."""

import math
import time

import numpy as np
from numpy.typing import NDArray

from benchmarks.data import fashion_mnist
from benchmarks.measure import Measure
from worker.importing.duplicates import find_duplicates, thumbnails

SIZES = (25_000, 50_000, 100_000)
COPIED = 0.05
"""Share of pictures that are brightened, noisy copies of others."""


def measure() -> list[Measure]:
    """Synthetic scenes of every size, and a real set of pictures that look alike."""
    runs = {size: _search(scenes(size)) for size in SIZES}
    times = {size: taken for size, (taken, _) in runs.items()}
    few, many = SIZES[0], SIZES[-1]
    growth = math.log(times[many] / times[few]) / math.log(many / few)
    copies, groups_N = int(many * COPIED), runs[many][1]
    again = int((groups_N[:copies] == groups_N[-copies:]).sum())
    others = many - len(np.unique(groups_N)) - again
    told = ", ".join(f"{size:,}: {taken:.1f} s" for size, taken in times.items())
    return [
        Measure("near duplicates among 100,000 pictures", times[many], 120, "s", at_least=False, note=told),
        Measure("their growth with the number of pictures", growth, 1.3, "exponent", at_least=False),
        Measure("planted copies that are found", again / copies, 0.95, "share", note=f"{others} other pairs joined"),
        _alike(),
    ]


def scenes(count: int) -> NDArray[np.uint8]:
    """(N,32,32) thumbnails with the spectrum of photographs (amplitude 1/f); the last of them copy the first."""
    rng = np.random.default_rng(0)
    copies = int(count * COPIED)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(32), np.fft.rfftfreq(32), indexing="ij"))
    amplitude = 1 / np.maximum(frequency, 1 / 32)
    thumbs_N32 = np.empty((count, 32, 32), np.uint8)
    for start in range(0, count, 5000):
        noise = np.fft.rfft2(rng.normal(size=(min(5000, count - start), 32, 32)))
        image = np.fft.irfft2(noise * amplitude, s=(32, 32))
        image = 128 + 45 * (image - image.mean((1, 2), keepdims=True)) / image.std((1, 2), keepdims=True)
        thumbs_N32[start : start + 5000] = np.clip(image, 0, 255)
    changed = thumbs_N32[:copies] * 1.05 + rng.normal(scale=2, size=(copies, 32, 32))
    thumbs_N32[count - copies :] = np.clip(changed, 0, 255)
    return thumbs_N32


def _search(thumbs_N32: NDArray[np.uint8]) -> tuple[float, NDArray[np.int64]]:
    """Seconds and groups, for files that all differ."""
    names = [str(number) for number in range(len(thumbs_N32))]
    start = time.perf_counter()
    groups_N = find_duplicates(names, thumbs_N32).near_N
    return time.perf_counter() - start, groups_N


def _alike() -> Measure:
    """FashionMNIST's 60,000: smaller than what the import compares, and so alike that hashes crowd."""
    taken, _ = _search(thumbnails(fashion_mnist()[0][..., None]))
    return Measure("the same among 60,000 pictures of clothes", taken, 120, "s", at_least=False)
