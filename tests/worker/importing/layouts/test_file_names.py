"""Labels in the names of files, and masks beside the pictures they belong to."""

from worker.importing.layouts.file_names import labels_of_names, masks_beside


def classes(*names: str) -> list[str]:
    """The labels that the names give."""
    return sorted(set(labels_of_names(names).values()))


def test_a_word_with_a_number_is_a_label() -> None:
    assert classes("cat.001.jpg", "cat.002.jpg", "dog.001.jpg", "dog.002.jpg") == ["cat", "dog"]
    assert classes("dog_12.png", "dog_3.png", "cat (1).png", "cat (2).png") == ["cat", "dog"]
    assert classes("1-cat.png", "2-cat.png", "3-big dog.png", "4-big dog.png") == ["big dog", "cat"]
    assert classes("cat_1_left.png", "cat_2_left.png", "dog_1_left.png", "dog_2_left.png") == ["cat", "dog"]
    assert classes("n0144_18.JPEG", "n0144_19.JPEG", "n0153_1.JPEG", "n0153_2.JPEG") == ["n0144", "n0153"]


def test_names_that_cameras_programs_and_splits_give_are_no_labels() -> None:
    assert not classes("IMG_001.jpg", "IMG_002.jpg", "DSC_001.jpg", "DSC_002.jpg")
    assert not classes("train_1.png", "train_2.png", "test_1.png", "test_2.png")
    assert not classes("a1.png", "b2.png", "c3.png", "d4.png")
    assert not classes("1.png", "2.png", "3.png", "4.png")


def test_a_mask_belongs_to_the_picture_of_the_same_name() -> None:
    names = ["a/x (1).png", "a/x (1)_mask.png", "a/x (1)_mask_1.png", "a/y_mask.png", "b/mask.png"]
    assert masks_beside(names) == dict.fromkeys(names[1:3], names[0])
