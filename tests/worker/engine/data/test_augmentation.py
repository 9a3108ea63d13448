"""Batch augmentation against torchvision's per-image transforms: equal formulas, equal distributions."""

from collections.abc import Callable, Iterable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from service.resolution.presets import PRESETS
from service.specs.augmentation import (
    Affine,
    AugmentOp,
    ColorJitter,
    Crop,
    Cutmix,
    Erasing,
    Grayscale,
    HorizontalFlip,
    Mixup,
    Preset,
    ResizedCrop,
    Rotation,
    VerticalFlip,
)
from worker.engine.data.augmentation import color, geometry, mixing
from worker.engine.data.augmentation.augmenter import Augmenter, batches_at_once
from worker.engine.runtime import torchvision_shim

_ = torchvision_shim  # makes torchvision importable on every build of torch

from torchvision.transforms import functional, transforms, v2  # noqa: E402

COUNT = 2000
SIZE = (16, 16)
Floats = NDArray[np.float64]


def seeded(seed: int = 0) -> Generator:
    return torch.Generator().manual_seed(seed)


def distance(ours: Iterable[float], theirs: Iterable[float]) -> float:
    """Kolmogorov-Smirnov distance between two samples, as a share of the one that chance gives once in a thousand."""
    a, b = np.sort(np.asarray(list(ours), float)), np.sort(np.asarray(list(theirs), float))
    both = np.concatenate([a, b])
    gap = np.abs(np.searchsorted(a, both, "right") / len(a) - np.searchsorted(b, both, "right") / len(b)).max()
    return float(gap / (1.95 * np.sqrt((len(a) + len(b)) / (len(a) * len(b)))))


def rate_is(p: float, hits: Tensor) -> bool:
    """Whether the share of hits lies within four standard errors of p."""
    error = abs(hits.float().mean().item() - p)
    return bool(error < 4 * (p * (1 - p) / len(hits)) ** 0.5)


def pictures(count: int, channels: int = 3, size: tuple[int, int] = SIZE) -> Tensor:
    """Smooth images without any symmetry."""
    coarse = torch.rand(count, channels, 5, 5, generator=seeded(1))
    return torch.nn.functional.interpolate(coarse, size, mode="bicubic", align_corners=False).clamp(0, 1)


def augmented(ops: tuple[AugmentOp, ...], images_BCHW: Tensor, seed: int = 0) -> Tensor:
    return Augmenter(ops, 10).images(images_BCHW, seeded(seed))


def torchvision_images(transform: Callable[[Tensor], Tensor], images_BCHW: Tensor) -> Tensor:
    torch.manual_seed(0)
    return torch.stack([transform(image) for image in images_BCHW])


class TestGeometry:
    def test_flips_happen_at_their_rates_and_exactly(self) -> None:
        image = pictures(1).expand(COUNT, -1, -1, -1)
        flipped = augmented((HorizontalFlip(op="horizontal_flip", p=0.3),), image)
        mirrored = (flipped == image.flip(3)).flatten(1).all(1)
        same = (flipped == image).flatten(1).all(1)
        assert bool((mirrored ^ same).all())
        assert rate_is(0.3, mirrored)
        upside_down = augmented((VerticalFlip(op="vertical_flip", p=0.1),), image)
        assert rate_is(0.1, (upside_down == image.flip(2)).flatten(1).all(1))

    def test_crop_shifts_by_whole_pixels_as_often_as_torchvision(self) -> None:
        position = torch.arange(1.0, 257).view(1, 1, 16, 16).expand(COUNT, -1, -1, -1)
        ours = augmented((Crop(op="crop", padding=3),), position)
        theirs = torchvision_images(transforms.RandomCrop(16, padding=3), position)
        assert set(ours.unique().tolist()) <= {float(value) for value in range(257)}  # nothing is blended
        assert distance(ours[:, 0, 8, 8], theirs[:, 0, 8, 8]) < 1
        assert distance(ours[:, 0, 0, 0], theirs[:, 0, 0, 0]) < 1  # black comes in at the edges

    @pytest.mark.parametrize("size", [(16, 16), (12, 20)])
    def test_affine_map_is_torchvisions(self, size: tuple[int, int]) -> None:
        image = torch.rand(1, 3, *size, generator=seeded())
        maps = geometry.affine_map(*(torch.tensor([value]) for value in (25.0, -8.0, 1.2, 3.0, -2.0)))
        grid = geometry.sampling_grid(maps, *size)
        ours = torch.nn.functional.grid_sample(image, grid, align_corners=False)
        theirs = functional.affine(
            image, 25.0, [3, -2], 1.2, [-8.0, 0.0], interpolation=functional.InterpolationMode.BILINEAR
        )
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)

    def test_affine_parameters_are_distributed_as_torchvisions(self) -> None:
        op = Affine(op="affine", degrees=20, translate=(0.2, 0.1), scale=(0.7, 1.3), shear=10)
        maps = geometry.random_map(op, COUNT, SIZE, seeded())
        transform = transforms.RandomAffine(20, translate=(0.2, 0.1), scale=(0.7, 1.3), shear=10)
        drawn = [
            transform.get_params(transform.degrees, transform.translate, transform.scale, transform.shear, [16, 16])
            for _ in range(COUNT)
        ]
        their_maps = torch.cat(
            [
                geometry.affine_map(*(torch.tensor([float(v)]) for v in (angle, shear[0], scale, *shift)))
                for angle, shift, scale, shear in drawn
            ]
        )
        for row, column in ((0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)):
            assert distance(maps[:, row, column], their_maps[:, row, column]) < 1

    def test_rotation_angles_are_uniform(self) -> None:
        maps = geometry.random_map(Rotation(op="rotation", degrees=30), COUNT, SIZE, seeded())
        angles = torch.atan2(maps[:, 0, 1], maps[:, 0, 0]).rad2deg()
        assert distance(angles, [transforms.RandomRotation.get_params([-30, 30]) for _ in range(COUNT)]) < 1
        torch.testing.assert_close(maps[:, :2, :2].det(), torch.ones(COUNT))

    @pytest.mark.parametrize(("scale", "ratio"), [((0.8, 1.0), (0.9, 1.1)), ((0.1, 1.0), (0.5, 2.0)), ((1, 1), (3, 4))])
    def test_crop_boxes_are_distributed_as_torchvisions(
        self, scale: tuple[float, float], ratio: tuple[float, float]
    ) -> None:
        size = (32, 24)
        op = ResizedCrop(op="resized_crop", scale=scale, ratio=ratio)
        maps = geometry.random_map(op, COUNT, size, seeded())
        height, width = maps[:, 1, 1] * size[0], maps[:, 0, 0] * size[1]
        top, left = maps[:, 1, 2] - (height - size[0]) / 2, maps[:, 0, 2] - (width - size[1]) / 2
        image = torch.zeros(3, *size)
        theirs = torch.tensor(
            [transforms.RandomResizedCrop.get_params(image, list(scale), list(ratio)) for _ in range(COUNT)]
        )
        for ours, other in zip((-top, left, height, width), (-theirs[:, 0], *theirs[:, 1:].T), strict=True):
            assert distance(ours.abs().round(), other.abs()) < 1
        assert distance((height * width).round(), theirs[:, 2] * theirs[:, 3]) < 1
        assert distance((width / height * 1e4).round(), (theirs[:, 3] / theirs[:, 2] * 1e4).round()) < 1

    def test_a_crop_is_resized_as_torchvision_resizes_it(self) -> None:
        image = pictures(1)
        maps = torch.eye(3).expand(1, 3, 3).clone()
        maps[0, 0, 0], maps[0, 1, 1] = 10 / 16, 12 / 16  # a box of 12 rows and 10 columns at (3, 2)
        maps[0, 0, 2], maps[0, 1, 2] = 2 + (10 - 16) / 2, 3 + (12 - 16) / 2
        grid = geometry.sampling_grid(maps, *SIZE)
        ours = torch.nn.functional.grid_sample(image, grid, padding_mode="border", align_corners=False)
        theirs = functional.resized_crop(image, 3, 2, 12, 10, list(SIZE), antialias=True)
        torch.testing.assert_close(ours[..., 1:-1, 1:-1], theirs[..., 1:-1, 1:-1], atol=1e-4, rtol=0)

    def test_operations_follow_the_lists_order(self) -> None:
        image = torch.zeros(64, 1, 16, 16)
        image[:, :, 4, 4] = 1.0
        flip, up = HorizontalFlip(op="horizontal_flip", p=1), VerticalFlip(op="vertical_flip", p=1)
        turn = Affine(op="affine", degrees=0, translate=(0, 0), scale=(0.5, 0.5), shear=0)
        assert bool((augmented((flip, up), image) == image.flip(2, 3)).all())
        shrunk = augmented((turn, flip), image)
        assert float(shrunk[0, 0, 6, 9]) > 0.2  # (4 - 7.5) / 2 + 7.5 is about 6; mirrored 9


class TestColour:
    @pytest.mark.parametrize("factor", [0.0, 0.6, 1.0, 1.7])
    def test_blends_are_torchvisions(self, factor: float) -> None:
        images = pictures(8)
        factors, zero, one = torch.full((8, 1, 1, 1), factor), torch.zeros(8, 1, 1, 1), torch.ones(8, 1, 1, 1)
        for ours, theirs in (
            (color.blend(images, factors, zero, zero), functional.adjust_brightness(images, factor)),
            (color.blend(images, factors, zero, one), functional.adjust_contrast(images, factor)),
            (color.blend(images, factors, one, zero), functional.adjust_saturation(images, factor)),
        ):
            torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)

    @pytest.mark.parametrize("shift", [-0.5, -0.2, 0.0, 0.05, 0.4])
    def test_hue_is_torchvisions(self, shift: float) -> None:
        images = torch.rand(8, 3, 16, 16, generator=seeded())
        images[0] = 0.5  # gray has no hue
        images[1, 0] = images[1, 1]  # two channels at the maximum
        ours = color.shift_hue(images, torch.full((8,), shift))
        torch.testing.assert_close(ours, functional.adjust_hue(images, shift), atol=1e-4, rtol=0)

    @pytest.mark.parametrize("channels", [1, 3])
    def test_jittered_images_are_distributed_as_torchvisions(self, channels: int) -> None:
        images = pictures(1, channels).expand(1000, -1, -1, -1)
        op = ColorJitter(op="color_jitter", brightness=0.5, contrast=0.5, saturation=0.5, hue=0.2)
        ours = augmented((op,), images)
        theirs = torchvision_images(transforms.ColorJitter(0.5, 0.5, 0.5, 0.2), images)
        for statistic in (_mean, _spread, _red_mean):
            assert distance(statistic(ours), statistic(theirs)) < 1

    def test_each_sample_has_an_order_of_its_own(self) -> None:
        # whether the clamp at 1 acts before or after the darkening shows which came first
        image = torch.full((COUNT, 1, 4, 4), 0.9)
        image[:, :, :2] = 0.1
        ours = augmented((ColorJitter(op="color_jitter", brightness=1, contrast=2, saturation=0, hue=0),), image)
        theirs = torchvision_images(transforms.ColorJitter(1, 2), image)
        assert distance(ours.amax((1, 2, 3)), theirs.amax((1, 2, 3))) < 1
        assert distance(ours.amin((1, 2, 3)), theirs.amin((1, 2, 3))) < 1

    def test_gray_images_have_neither_saturation_nor_hue(self) -> None:
        images = pictures(8, channels=1)
        op = ColorJitter(op="color_jitter", brightness=0, contrast=0, saturation=1, hue=0.5)
        assert torch.equal(augmented((op, Grayscale(op="grayscale", p=1)), images), images)

    def test_grayscale_happens_at_its_rate(self) -> None:
        images = pictures(COUNT)
        ours = augmented((Grayscale(op="grayscale", p=0.2),), images)
        changed = (ours != images).flatten(1).any(1)
        assert rate_is(0.2, changed)
        theirs = functional.rgb_to_grayscale(images[changed], 3)
        torch.testing.assert_close(ours[changed], theirs, atol=1e-6, rtol=0)


class TestErasing:
    def test_boxes_are_distributed_as_torchvisions(self) -> None:
        images = torch.ones(COUNT, 1, 24, 32)
        op = Erasing(op="erasing", p=1.0, scale=(0.02, 0.33), ratio=(0.3, 2.0))
        ours = mixing.erase(op, images, seeded())
        theirs = torchvision_images(transforms.RandomErasing(1.0, (0.02, 0.33), (0.3, 2.0)), images)
        for statistic in (_erased_share, _erased_height, _erased_top):
            assert distance(statistic(ours), statistic(theirs)) < 1

    def test_happens_at_its_rate_and_zeroes_every_channel(self) -> None:
        images = torch.ones(COUNT, 3, 16, 16)
        erased = mixing.erase(Erasing(op="erasing", p=0.1), images, seeded())
        assert rate_is(0.1, (erased == 0).flatten(1).any(1))
        assert torch.equal(erased[:, 0], erased[:, 2])
        assert set(erased.unique().tolist()) == {0.0, 1.0}
        assert bool((images == 1).all())


def _erased_share(images_BCHW: Tensor) -> Tensor:
    return (images_BCHW == 0).float().mean((1, 2, 3))


def _erased_height(images_BCHW: Tensor) -> Tensor:
    return (images_BCHW == 0).any(3).sum((1, 2))


def _erased_top(images_BCHW: Tensor) -> Tensor:
    return (images_BCHW == 0).any(3).float().argmax(2).flatten()


class TestMixing:
    def test_mixup_blends_images_as_labels(self) -> None:
        labels = torch.randint(10, (COUNT,), generator=seeded(3))
        images = torch.nn.functional.one_hot(labels, 10).float().view(COUNT, 10, 1, 1).expand(-1, -1, 4, 4)
        mixed, targets = mixing.mix((Mixup(op="mixup", alpha=0.4),), images, labels, 10, seeded())
        torch.testing.assert_close(mixed.mean((2, 3)), targets)
        torch.testing.assert_close(targets.sum(1), torch.ones(COUNT))

    def test_mixup_shares_are_beta_distributed(self) -> None:
        for alpha in (0.05, 0.2, 1.0, 5.0):
            drawn = mixing.beta(alpha, COUNT, seeded()).numpy().round(5)
            assert distance(drawn, np.random.default_rng(0).beta(alpha, alpha, COUNT).round(5)) < 1

    def test_cutmix_targets_are_the_shares_of_pixels(self) -> None:
        labels = torch.arange(8).repeat(COUNT // 8)
        images = labels.float().view(-1, 1, 1, 1).expand(-1, 1, 16, 16)
        mixed, targets = mixing.mix((Cutmix(op="cutmix"),), images, labels, 8, seeded())
        shares = torch.stack([(mixed == label).float().mean((1, 2, 3)) for label in range(8)], 1)
        torch.testing.assert_close(shares, targets)

    def test_cutmix_boxes_are_distributed_as_torchvisions(self) -> None:
        own = mixing.beta(1.0, COUNT, seeded())
        boxes = mixing.cut_boxes(own, SIZE, seeded(1))
        torch.manual_seed(0)
        transform = v2.CutMix(alpha=1.0, num_classes=10)
        drawn = [transform.make_params([torch.zeros(2, 3, *SIZE)])["box"] for _ in range(COUNT)]
        left, top, right, bottom = (torch.tensor(side) for side in zip(*drawn, strict=True))
        theirs = (top, left, bottom - top, right - left)
        for ours, other in zip((boxes.top_B, boxes.left_B, boxes.height_B, boxes.width_B), theirs, strict=True):
            assert distance(ours, other) < 1

    def test_each_sample_is_mixed_with_its_own_share(self) -> None:
        images, labels = torch.rand(64, 1, 8, 8), torch.arange(64) % 10
        _, targets = mixing.mix((Mixup(op="mixup", alpha=1.0),), images, labels, 10, seeded())
        assert len(targets.amax(1).unique()) > 40

    def test_mixup_or_cutmix_is_chosen_for_each_sample(self) -> None:
        labels = torch.arange(COUNT) % 2
        images = labels.float().view(-1, 1, 1, 1).expand(-1, 1, 16, 16)
        ops = (Mixup(op="mixup", alpha=1.0), Cutmix(op="cutmix", p=0.0))
        mixed, _ = mixing.mix(ops, images, labels, 2, seeded())
        blended = ((mixed > 0) & (mixed < 1)).flatten(1).any(1)
        assert rate_is(0.25, blended)  # half are offered mixup, half of their partners have the other label

    def test_without_mixing_there_are_no_soft_labels(self) -> None:
        augmenter = Augmenter(PRESETS["standard"], 10)
        assert augmenter.mix(pictures(4), torch.arange(4), seeded())[1] is None


def _mean(images_BCHW: Tensor) -> Tensor:
    return images_BCHW.mean((1, 2, 3))


def _red_mean(images_BCHW: Tensor) -> Tensor:
    return images_BCHW[:, 0].mean((1, 2))


def _spread(images_BCHW: Tensor) -> Tensor:
    return images_BCHW.std((1, 2, 3))


def _left_minus_right(images_BCHW: Tensor) -> Tensor:
    left, right = images_BCHW.chunk(2, 3)
    return (left - right).mean((1, 2, 3))


def _top_minus_bottom(images_BCHW: Tensor) -> Tensor:
    top, bottom = images_BCHW.chunk(2, 2)
    return (top - bottom).mean((1, 2, 3))


class TestWhole:
    @pytest.mark.parametrize("channels", [1, 3])
    def test_standard_preset_gives_images_as_torchvision_would(self, channels: int) -> None:
        """Away from the edge; torchvision resamples three times and cuts off what it turned out of the frame."""
        images = pictures(800, channels, size=(32, 32))
        bilinear = functional.InterpolationMode.BILINEAR
        chapter = transforms.Compose(
            [
                transforms.RandomHorizontalFlip(),
                transforms.RandomVerticalFlip(0.1),
                transforms.RandomRotation(15, bilinear),
                transforms.RandomResizedCrop(32, scale=(0.8, 1.0), ratio=(0.9, 1.1)),
                transforms.RandomAffine(10, translate=(0.1, 0.1), shear=5, interpolation=bilinear),
                transforms.ColorJitter(0.2, 0.2, 0.2, 0.05),
                *([transforms.RandomGrayscale(0.1)] if channels == 3 else []),
            ]
        )
        ours, theirs = augmented(PRESETS["standard"], images), torchvision_images(chapter, images)
        inner, inner_theirs = ours[..., 8:-8, 8:-8], theirs[..., 8:-8, 8:-8]
        for statistic in (_mean, _spread, _left_minus_right, _top_minus_bottom, _red_mean):
            assert distance(statistic(inner), statistic(inner_theirs)) < 1
        black, black_theirs = (float((x < 0.02).float().mean()) for x in (ours, theirs))
        assert 0.5 * black_theirs < black < black_theirs

    @pytest.mark.parametrize("preset", ["light", "standard", "strong"])
    def test_the_generator_decides_everything_and_inputs_stay(self, preset: Preset) -> None:
        images, labels = pictures(32), torch.arange(32) % 10
        before, augmenter = images.clone(), Augmenter(PRESETS[preset], 10)
        torch.manual_seed(1)
        first = augmenter.images(images, seeded(5))
        first, soft = augmenter.mix(first, labels, seeded(6))
        torch.manual_seed(2)
        again, other = augmenter.mix(augmenter.images(images, seeded(5)), labels, seeded(6))
        assert torch.equal(first, again)
        assert (soft is None and other is None) or (soft is not None and other is not None and torch.equal(soft, other))
        assert torch.equal(images, before)
        assert not torch.equal(first, augmenter.images(images, seeded(7)))

    def test_equal_images_become_different_ones(self) -> None:
        image = pictures(1).expand(64, -1, -1, -1)
        assert len(augmented(PRESETS["standard"], image).mean((1, 2, 3)).unique()) == 64

    def test_small_batches_are_augmented_together(self) -> None:
        assert batches_at_once(64, 28 * 28, "cpu") == 5
        assert batches_at_once(64, 224 * 224 * 3, "cpu") == 1
        assert batches_at_once(64, 28 * 28, "cuda") > 100
