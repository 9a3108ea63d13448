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


@given(st.integers(40, 90), st.integers(0, 5))
def test_near_duplicates_never_straddle_a_split(groups: int, seed: int) -> None:
    groups_N = np.repeat(np.arange(groups), 3)
    split_N = draw_splits(groups_N % 2, SplitSpec(val=0.2, test=0.2, seed=seed), groups_N=groups_N)
    for group in range(groups):
        assert len(set(split_N[groups_N == group].tolist())) == 1


@given(st.lists(st.integers(1, 90), min_size=2, max_size=12), st.integers(2, 4), st.integers(0, 5))
def test_groups_of_any_size_and_class_change_the_shares_by_a_few_points(
    sizes: list[int], classes: int, seed: int
) -> None:
    groups_N = np.repeat(np.arange(len(sizes)), sizes)
    y_N = np.random.default_rng(seed).integers(0, classes, len(groups_N))
    plain_N, split_N = (draw_splits(y_N, SplitSpec(seed=seed), groups_N=groups) for groups in (None, groups_N))
    for number in (0, 1, 2):
        assert abs(int((split_N == number).sum()) - int((plain_N == number).sum())) <= max(0.06 * len(y_N), 2 * classes)
    if len(y_N) >= 30:  # of fewer samples a split may be empty, which a finding tells
        assert len(set(split_N.tolist())) == len(set(plain_N.tolist()))


def test_one_group_of_everything_is_parted() -> None:
    split_N = draw_splits(np.repeat([0, 1], 60), SplitSpec(), groups_N=np.zeros(120, np.int64))
    assert np.bincount(split_N).tolist() == [96, 12, 12]


def test_a_large_group_stays_whole_where_others_give_the_share() -> None:
    groups_N = np.minimum(np.arange(400), 200)
    split_N = draw_splits(np.arange(400) % 2, SplitSpec(), groups_N=groups_N)
    assert np.bincount(split_N).tolist() == [320, 40, 40]
    assert (split_N[200:] == 0).all()


def test_many_classes_of_two_samples_do_not_empty_the_train_split() -> None:
    split_N = draw_splits(np.arange(200) // 2, SplitSpec())
    assert np.bincount(split_N).tolist() == [160, 20, 20]


@given(st.lists(st.integers(0, 5), min_size=1, max_size=60))
def test_a_class_never_loses_its_last_training_sample(labels: list[int]) -> None:
    y_N = np.array(labels)
    split_N = draw_splits(y_N, SplitSpec(val=0.3, test=0.3))
    for label in np.unique(y_N):
        assert (split_N[y_N == label] == 0).any()
