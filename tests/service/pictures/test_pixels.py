"""Pixels: what is kept of a picture, and how it is resized."""

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

from service.pictures.pixels import crop_box, fit, on_white, plain
from tests.service.pictures.drawings import picture
from worker.engine.runtime.torchvision_shim import torchvision


@pytest.mark.parametrize("side", [28, 64, 96, 140])
def test_photographs_that_are_shrunk_in_two_steps_are_as_good(side: int) -> None:
    """Against Resize + CenterCrop, after ImageNet's Normalize."""
    normalise = torchvision.transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    resize, crop = torchvision.transforms.Resize(side), torchvision.transforms.CenterCrop(side)
    tensor = torchvision.transforms.ToTensor()
    for array in load_sample_images().images:
        photo = Image.fromarray(array)
        expected = normalise(tensor(crop(resize(photo))))
        difference = (normalise(tensor(fit(photo, side, side))) - expected).abs().mean()
        assert difference < 0.01 * expected.abs().mean()


@pytest.mark.parametrize("size", [(40, 40), (90, 41), (41, 90)])
def test_only_the_middle_square_is_kept(size: tuple[int, int]) -> None:
    left, top, right, bottom = crop_box(size, 40, 40)
    assert right - left == pytest.approx(min(size), abs=1)
    assert bottom - top == pytest.approx(min(size), abs=1)
    assert left + right == pytest.approx(size[0], abs=1.5)
    assert top + bottom == pytest.approx(size[1], abs=1.5)


def test_a_picture_of_the_right_size_stays_as_it_is() -> None:
    image = picture(1, (32, 32))
    assert np.array_equal(np.asarray(fit(image, 32, 32)), np.asarray(image))


def test_half_transparent_pixels_are_mixed_with_white() -> None:
    half = plain(Image.new("LA", (4, 4), (0, 128)))
    assert on_white(half).getpixel((0, 0)) == (127, 127, 127)
