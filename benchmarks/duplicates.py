"""Near duplicates among 100,000 pictures: the seconds it takes, how that grows, and what is found of planted copies."""

import math

import numpy as np
from numpy.typing import NDArray

from benchmarks.data import fashion_mnist
from benchmarks.measure import Measure, seconds
from worker.engine.data.duplicates import find_duplicates, thumbnails

SIZES = (25_000, 50_000, 100_000)
COPIED = 0.05
"""Share of pictures that are brightened, noisy copies of others."""


def measure() -> list[Measure]:
    """Synthetic scenes of every size, and a real set of pictures that look alike."""
    times: dict[int, float] = {}
    for size in SIZES:
        thumbs_N32 = scenes(size)
        found: list[NDArray[np.int64]] = []
        times[size] = seconds(lambda: found.append(find_duplicates(_names(size), thumbs_N32).near_N))
    few, many = SIZES[0], SIZES[-1]
    growth = math.log(times[many] / times[few]) / math.log(many / few)
    copies = int(many * COPIED)
    again = int((found[0][:copies] == found[0][-copies:]).sum())
    others = many - len(np.unique(found[0])) - again
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


def _names(count: int) -> list[str]:
    """Hashes of files that all differ."""
    return [str(number) for number in range(count)]


def _alike() -> Measure:
    """FashionMNIST's 60,000: smaller than what the import compares, and so alike that hashes crowd."""
    thumbs_N32 = thumbnails(fashion_mnist()[0][..., None])
    taken = seconds(lambda: find_duplicates(_names(len(thumbs_N32)), thumbs_N32))
    return Measure("the same among 60,000 pictures of clothes", taken, 120, "s", at_least=False)
