"""Duplicates: equal bytes by SHA-256, near ones by perceptual hash, confirmed by correlation; near-linear.

A perceptual hash has 64 bits: which of the lowest 8 x 8 frequencies of the 32 x 32 grey thumbnail lie above their
median by a fifth of their mean size. (Against the median alone, drawings, which are symmetric and have half of them
near zero, change over three bits when they are merely resized: 64 to 97 % are found again, with the margin 92 to 100 %;
photographs alike.) Two hashes within Hamming distance 3 agree in one of four 16-bit bands, so only those that share a
band are compared; a bucket of too many is divided by the same argument again, into bands of the bits left.
Shapes: thumbs_N32 (N,32,32), hashes_N uint64, groups_N int64 (samples with the same number are duplicates).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SIDE, LOW = 32, 8
MAX_DISTANCE = 3
MIN_CORRELATION = 0.95
MARGIN = 0.2
MIN_DEVIATION = 4.0
"""Grey levels; a picture flatter than this has no pattern to compare."""
BATCH = 4096
MAX_BUCKET = 256


@dataclass(frozen=True)
class Duplicates:
    """Which samples are the same: exactly, and nearly (exact ones included)."""

    exact_N: NDArray[np.int64]
    near_N: NDArray[np.int64]
    by_chance: bool = False
    """Whether equal rows are different cases of which little is known, and no copies."""


def find_duplicates(hashes: list[str], thumbs_N32: NDArray[np.uint8] | None) -> Duplicates:
    """Groups by hash of the content and, for images, by likeness."""
    exact_N = equal_groups(hashes)
    if thumbs_N32 is None:
        return Duplicates(exact_N, exact_N)
    firsts = np.unique(exact_N)
    pairs = near_pairs(thumbs_N32[firsts])
    return Duplicates(exact_N, join(exact_N, ((int(firsts[a]), int(firsts[b])) for a, b in pairs)))


def equal_groups(hashes: list[str]) -> NDArray[np.int64]:
    """For each sample the number of the first with the same hash."""
    first: dict[str, int] = {}
    return np.array([first.setdefault(digest, index) for index, digest in enumerate(hashes)], np.int64)


def join(groups_N: NDArray[np.int64], pairs: Iterable[tuple[int, int]]) -> NDArray[np.int64]:
    """The groups after each pair's have been made one; a group is called by its smallest member."""
    parent = groups_N.copy()

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = int(parent[index])
        return index

    for a, b in pairs:
        low, high = sorted((root(a), root(b)))
        parent[high] = low
    return np.array([root(index) for index in range(len(parent))], np.int64)


def near_pairs(thumbs_N32: NDArray[np.uint8]) -> Iterator[tuple[int, int]]:
    """Pairs of thumbnails that show the same picture."""
    has_pattern_N = np.concatenate(
        [thumbs_N32[at : at + BATCH].std(axis=(1, 2)) for at in range(0, len(thumbs_N32), BATCH)] or [np.zeros(0)]
    )
    rows = np.flatnonzero(has_pattern_N >= MIN_DEVIATION)
    hashes_N = perceptual_hashes(thumbs_N32, rows)
    for left_P, right_P in candidates(hashes_N):
        for at in range(0, len(left_P), BATCH):
            a, b = rows[left_P[at : at + BATCH]], rows[right_P[at : at + BATCH]]
            alike = correlation(thumbs_N32[a], thumbs_N32[b]) > MIN_CORRELATION
            yield from zip(a[alike].tolist(), b[alike].tolist(), strict=True)


def perceptual_hashes(thumbs_N32: NDArray[np.uint8], rows: NDArray[np.int64]) -> NDArray[np.uint64]:
    """64 bits for each of some thumbnails."""
    basis = _cosines()
    hashes_N = np.zeros(len(rows), np.uint64)
    for at in range(0, len(rows), BATCH):
        low_B88 = basis @ thumbs_N32[rows[at : at + BATCH]].astype(np.float64) @ basis.T
        flat_B64 = low_B88.reshape(-1, LOW * LOW)
        margin_B1 = MARGIN * np.abs(flat_B64[:, 1:]).mean(axis=1, keepdims=True)
        bits_B64 = flat_B64 > np.median(flat_B64, axis=1, keepdims=True) + margin_B1
        hashes_N[at : at + BATCH] = np.packbits(bits_B64, axis=1).view(np.uint64).ravel()
    return hashes_N


def _cosines() -> NDArray[np.float64]:
    """The lowest rows of the orthonormal discrete cosine transform (type II)."""
    frequency, place = np.arange(LOW)[:, None], np.arange(SIDE)[None, :]
    rows: NDArray[np.float64] = np.cos(np.pi * frequency * (2 * place + 1) / (2 * SIDE)) * np.sqrt(2 / SIDE)
    rows[0] /= np.sqrt(2)
    return rows


def candidates(hashes_N: NDArray[np.uint64]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Positions of pairs of hashes within MAX_DISTANCE; a pair may come more than once.

    Equal hashes are chained, not paired each with each: with their likeness confirmed that makes the same groups.
    """
    order = np.argsort(hashes_N, kind="stable")
    same = np.flatnonzero(hashes_N[order][1:] == hashes_N[order][:-1])
    yield order[same], order[same + 1]
    unique_U, first_U = np.unique(hashes_N, return_index=True)
    for left, right in _within(unique_U, np.arange(len(unique_U)), 64):
        yield first_U[left], first_U[right]


def _within(
    hashes_U: NDArray[np.uint64], members: NDArray[np.int64], bits: int, mask: int = 2**64 - 1
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Pairs among `members` that are close, by bands of the `bits` set in `mask`."""
    for band in _bands(mask, bits):
        keys = hashes_U[members] & np.uint64(band)
        order = np.argsort(keys, kind="stable")
        starts = np.flatnonzero(np.r_[True, keys[order][1:] != keys[order][:-1], True])
        for start, end in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True):
            if end - start < 2:
                continue
            bucket = members[order[start:end]]
            if len(bucket) > MAX_BUCKET and bits > 16:
                yield from _within(hashes_U, bucket, bits * 3 // 4, mask & ~band)
            else:
                yield _close(hashes_U, bucket)


def _bands(mask: int, bits: int) -> Iterator[int]:
    """Four masks that share the set bits of `mask` evenly."""
    places = [place for place in range(64) if mask >> place & 1]
    for band in range(4):
        yield sum(1 << place for place in places[band * bits // 4 : (band + 1) * bits // 4])


def _close(hashes_U: NDArray[np.uint64], bucket: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs of a bucket within MAX_DISTANCE, each with each."""
    left, right = np.triu_indices(len(bucket), 1)
    distance = np.bitwise_count(hashes_U[bucket[left]] ^ hashes_U[bucket[right]])
    near = distance <= MAX_DISTANCE
    return bucket[left[near]], bucket[right[near]]


def correlation(a_P32: NDArray[np.uint8], b_P32: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Pearson's, of each pair of thumbnails."""
    a, b = (thumbs.reshape(len(thumbs), -1).astype(np.float32) for thumbs in (a_P32, b_P32))
    a, b = a - a.mean(1, keepdims=True), b - b.mean(1, keepdims=True)
    product: NDArray[np.float32] = (a * b).sum(1) / np.maximum(
        np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1), 1e-6
    )
    return product


def thumbnails(x_NHWC: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(N,32,32) grey thumbnails of packed images, by averaging areas."""
    grey_weights = np.array([0.299, 0.587, 0.114], np.float32)
    rows, columns = _areas(x_NHWC.shape[1]), _areas(x_NHWC.shape[2])
    thumbs = np.empty((len(x_NHWC), SIDE, SIDE), np.uint8)
    for at in range(0, len(x_NHWC), 256):
        piece = x_NHWC[at : at + 256].astype(np.float32)
        grey = piece @ grey_weights if piece.shape[-1] == 3 else piece.mean(-1)
        thumbs[at : at + 256] = np.round(rows @ grey @ columns.T)
    return thumbs


def _areas(size: int) -> NDArray[np.float32]:
    """Weights (32,size) that average the part of a line that each of 32 pixels covers."""
    edges = np.arange(SIDE + 1) * size / SIDE
    covered = np.minimum(edges[1:, None], np.arange(size) + 1) - np.maximum(edges[:-1, None], np.arange(size))
    weights = np.maximum(covered, 0)
    shares: NDArray[np.float32] = (weights / weights.sum(1, keepdims=True)).astype(np.float32)
    return shares
