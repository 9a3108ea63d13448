"""Duplicates: exact ones by hash, near ones by likeness, found without comparing each with each."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

from tests.service.pictures.drawings import picture
from worker.importing.duplicates import (
    MAX_BUCKET,
    MAX_DISTANCE,
    candidates,
    equal_groups,
    find_duplicates,
    join,
    near_pairs,
    thumbnails,
)


def thumbs(*images: Image.Image) -> NDArray[np.uint8]:
    return np.stack([np.asarray(image.convert("L").resize((32, 32), Image.Resampling.BOX)) for image in images])


def test_a_picture_that_was_resized_recompressed_or_brightened_is_the_same() -> None:
    original = picture(1, (256, 256))
    changed = [
        original.resize((90, 90)),
        original.quantize(64).convert("RGB"),
        ImageEnhance.Brightness(original).enhance(1.05),
    ]
    for image in changed:
        assert list(near_pairs(thumbs(original, picture(2, (256, 256)), image))), image
    assert list(near_pairs(thumbs(*(picture(seed, (64, 64)) for seed in range(300))))) == []


def test_flat_pictures_are_like_none() -> None:
    assert list(near_pairs(thumbs(*(Image.new("L", (64, 64), shade) for shade in (250, 251, 251))))) == []


def test_equal_content_is_one_group() -> None:
    assert equal_groups(["a", "b", "a", "c", "b"]).tolist() == [0, 1, 0, 3, 1]
    groups = find_duplicates(["a", "b", "a"], None)
    assert groups.exact_N.tolist() == groups.near_N.tolist() == [0, 1, 0]


def test_groups_that_touch_become_one() -> None:
    assert join(np.arange(6), [(4, 5), (1, 4), (0, 3)]).tolist() == [0, 1, 2, 0, 1, 1]


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 400), st.integers(0, 40))
def test_all_hashes_within_three_bits_are_found(seed: int, count: int, spread: int) -> None:
    """Buckets that share a band are divided again and lose no pair: compared with each against each."""
    rng = np.random.default_rng(seed)
    low_bits = np.uint64(2**spread - 1)
    hashes = rng.integers(0, 2**64, count, np.uint64) & low_bits
    for index in range(1, count, 3):
        flips = rng.choice(64, rng.integers(0, MAX_DISTANCE + 1), replace=False)
        hashes[index] = hashes[index - 1] ^ np.bitwise_xor.reduce(
            [np.uint64(0), *(np.uint64(1) << np.uint64(f) for f in flips)]
        )
    groups = join(
        np.arange(count),
        ((int(a), int(b)) for left, right in candidates(hashes) for a, b in zip(left, right, strict=True)),
    )
    distance = np.bitwise_count(hashes[:, None] ^ hashes[None, :])
    pairs = np.argwhere(distance <= MAX_DISTANCE)
    expected = join(np.arange(count), ((int(a), int(b)) for a, b in pairs))
    assert groups.tolist() == expected.tolist()


def test_a_large_bucket_is_not_compared_each_with_each() -> None:
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 2**48, 40_000, np.uint64)  # the upper sixteen bits are the same in all
    looked_at = sum(len(left) for left, _ in candidates(hashes))
    assert looked_at < MAX_BUCKET * 10


def test_thumbnails_average_areas() -> None:
    image = np.asarray(picture(3, (96, 64)))
    ours = thumbnails(image[None])[0].astype(int)
    theirs = np.asarray(Image.fromarray(image).convert("L").resize((32, 32), Image.Resampling.BOX)).astype(int)
    assert np.abs(ours - theirs).max() <= 2
    assert thumbnails(np.full((1, 8, 8, 1), 77, np.uint8)).tolist() == [[[77] * 32] * 32]
