"""Splits: given ones are kept, others are drawn stratified, seeded, group by group."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from service.specs.dataset import SplitSpec
from worker.importing.splits import draw_splits


def test_each_class_gives_its_share() -> None:
    y_N = np.repeat([0, 1, 2], [100, 50, 1000])
    split_N = draw_splits(y_N, SplitSpec(val=0.1, test=0.2))
    for label, size in enumerate((100, 50, 1000)):
        counts = np.bincount(split_N[y_N == label], minlength=3)
        assert counts.tolist() == [size * 7 // 10, size // 10, size // 5]


def test_same_seed_draws_the_same_and_another_seed_does_not() -> None:
    y_N = np.arange(300) % 5
    first, again = draw_splits(y_N, SplitSpec()), draw_splits(y_N, SplitSpec())
    assert first.tolist() == again.tolist()
    assert first.tolist() != draw_splits(y_N, SplitSpec(seed=1)).tolist()


def test_given_test_split_is_kept_and_val_is_drawn_from_train() -> None:
    y_N = np.arange(200) % 4
    given_N = np.where(np.arange(200) < 150, 0, 2).astype(np.uint8)
    split_N = draw_splits(y_N, SplitSpec(val=0.2), given_N)
    assert (split_N[150:] == 2).all()
    assert np.bincount(split_N[:150]).tolist() == [120, 30]  # eight of each class of 38, seven of 37


def test_no_share_leaves_the_split_empty() -> None:
    assert (draw_splits(np.arange(30) % 3, SplitSpec(val=0.0, test=0.0)) == 0).all()


@given(st.lists(st.integers(0, 3), min_size=4, max_size=80), st.integers(0, 5))
def test_near_duplicates_never_straddle_a_split(labels: list[int], seed: int) -> None:
    y_N = np.array(labels)
    groups_N = np.arange(len(labels)) // 3
    split_N = draw_splits(y_N, SplitSpec(val=0.2, test=0.2, seed=seed), groups_N=groups_N)
    for group in np.unique(groups_N):
        assert len(set(split_N[groups_N == group].tolist())) == 1


@given(st.lists(st.integers(0, 5), min_size=1, max_size=60))
def test_a_class_never_loses_its_last_training_sample(labels: list[int]) -> None:
    y_N = np.array(labels)
    split_N = draw_splits(y_N, SplitSpec(val=0.3, test=0.3))
    for label in np.unique(y_N):
        assert (split_N[y_N == label] == 0).any()
