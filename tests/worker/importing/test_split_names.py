"""Names of splits in the spellings that people use, and names that merely contain one."""

import pytest

from worker.importing.split_names import split_of, splits_of
from worker.importing.splits import TEST, TRAIN, VAL


@pytest.mark.parametrize(
    ("names", "split"),
    [
        (
            "train Train TRAIN training trn train_images TrainImages train2017 train_224x224 trainset",
            TRAIN,
        ),
        ("trainLabels train-labels Training_Set my_train_data training_images_v2", TRAIN),
        ("val valid Validation validation_images dev cv cv_2 val2017 ValData validationset", VAL),
        ("test TEST tst testing test_images Test-Set holdout eval Evaluation test1 testdata", TEST),
    ],
)
def test_usual_spellings_are_splits(names: str, split: int) -> None:
    assert {name: split_of(name) for name in names.split()} == dict.fromkeys(names.split(), split)


@pytest.mark.parametrize("name", ["cat", "trainer", "contest", "test_tube", "freight_train", "device", "tr", "7"])
def test_other_words_are_none(name: str) -> None:
    assert split_of(name) is None


def test_folders_are_splits_together() -> None:
    assert splits_of(["tr", "te", "va"]) == {"tr": TRAIN, "te": TEST, "va": VAL}
    assert splits_of(["seg_train", "seg_test"]) == {"seg_train": TRAIN, "seg_test": TEST}
    assert splits_of(["seg_train", "seg_test", "seg_pred"]) == {"seg_train": TRAIN, "seg_test": TEST}
    assert splits_of(["train", "test", "docs"]) == {"train": TRAIN, "test": TEST}
    assert splits_of(["de", "en", "tr"]) is None
    assert splits_of(["bus", "car", "train"]) is None
    assert splits_of(["freight_train", "test_tube", "car"]) is None
