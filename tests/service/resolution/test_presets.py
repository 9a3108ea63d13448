"""What a preset does to pictures of different sizes."""

from service.resolution.presets import PRESETS, kept_side, operations
from service.specs.augmentation import Crop, Erasing, ResizedCrop


def test_large_pictures_and_unknown_ones_get_the_list_as_it_is() -> None:
    assert operations("strong") == operations("strong", [32, 224, 3]) == PRESETS["strong"]


def test_small_pictures_are_shifted_cropped_and_erased_less() -> None:
    [padding] = [op.padding for op in operations("light", [8, 8, 1]) if isinstance(op, Crop)]
    assert padding == 1
    assert not any(isinstance(op, ResizedCrop) for op in operations("strong", [16, 16, 3]))
    strong = operations("strong", [20, 24, 3])
    assert [kept_side(op, 20) for op in strong if isinstance(op, ResizedCrop)] == [16]
    assert [op.scale for op in strong if isinstance(op, Erasing)] == [(0.02, 0.165)]


def test_what_a_spec_lists_stays_as_it_is() -> None:
    crop = Crop(op="crop", padding=4)
    assert operations([crop], [8, 8, 1]) == (crop,)
