"""Flips, rotations, affine maps and crops: composed into one map a sample, and each image resampled once.

A map takes a pixel of the result to the place in the image that it comes from: `source = A @ target + t` in pixels from
the image's centre, as a matrix_B33. Formulas and parameters are those of torchvision's per-image transforms; only what
one of several operations moves out of the frame is not lost to the next one, so that fewer corners are black.
"""

import math
from typing import assert_never

import torch
from torch import Generator, Tensor, nn

from service.specs.augmentation import Affine, Crop, HorizontalFlip, ResizedCrop, Rotation, VerticalFlip
from worker.engine.data.augmentation.random_parameters import random_boxes, uniform

GeometricOp = HorizontalFlip | VerticalFlip | Rotation | ResizedCrop | Affine | Crop
WHOLE_PIXELS = (HorizontalFlip, VerticalFlip, Crop)
"""Operations that move pixels without blending them."""
STAY_INSIDE = (HorizontalFlip, VerticalFlip, ResizedCrop)
"""Operations that never look beyond the image's edge."""


class Geometry:
    """Several operations in one resampling: bilinear, or exact where only whole pixels move. Outside is black."""

    def __init__(self, ops: tuple[GeometricOp, ...]) -> None:
        self.ops = ops
        self.mode = "nearest" if all(isinstance(op, WHOLE_PIXELS) for op in ops) else "bilinear"
        self.padding = "border" if all(isinstance(op, STAY_INSIDE) for op in ops) else "zeros"

    def __call__(self, images_BCHW: Tensor, generator: Generator) -> Tensor:
        """The transformed images, a new tensor of the same shape."""
        count, _, height, width = images_BCHW.shape
        maps_B33 = compose(self.ops, count, (height, width), generator)
        grid_BHW2 = sampling_grid(maps_B33.to(images_BCHW.device), height, width)
        return nn.functional.grid_sample(
            images_BCHW, grid_BHW2, mode=self.mode, padding_mode=self.padding, align_corners=False
        )


def compose(ops: tuple[GeometricOp, ...], count: int, size: tuple[int, int], generator: Generator) -> Tensor:
    """maps_B33 of all operations, random for each sample; the first operation of the list is applied first."""
    maps_B33 = random_map(ops[0], count, size, generator)
    for op in ops[1:]:
        maps_B33 = maps_B33 @ random_map(op, count, size, generator)
    return maps_B33


def sampling_grid(maps_B33: Tensor, height: int, width: int) -> Tensor:
    """grid_BHW2 for `grid_sample(align_corners=False)`; an affine map is a sum of a row and a column, so this costs
    a quarter of `affine_grid`.
    """
    columns_W = torch.arange(width, device=maps_B33.device).sub((width - 1) / 2)
    rows_H = torch.arange(height, device=maps_B33.device).sub((height - 1) / 2)
    grid_BHW2 = torch.empty(len(maps_B33), height, width, 2, device=maps_B33.device)
    for axis, length in enumerate((width, height)):
        along_B, down_B, shift_B = (maps_B33[:, axis, :] * (2 / length)).unbind(1)
        across_BW = torch.addcmul(shift_B[:, None], along_B[:, None], columns_W)
        across_BH = down_B[:, None] * rows_H
        torch.add(across_BW[:, None, :], across_BH[:, :, None], out=grid_BHW2[..., axis])
    return grid_BHW2


def random_map(op: GeometricOp, count: int, size: tuple[int, int], generator: Generator) -> Tensor:
    """maps_B33 of one operation, its parameters random for each sample."""
    match op:
        case HorizontalFlip(p=p):
            return _map(a=_sign(count, p, generator))
        case VerticalFlip(p=p):
            return _map(d=_sign(count, p, generator))
        case Rotation(degrees=degrees):
            return _rotation(uniform(count, -degrees, degrees, generator))
        case Affine():
            return _affine(op, count, size, generator)
        case ResizedCrop():
            return _resized_crop(op, count, size, generator)
        case Crop(padding=padding):
            shifts_2B = torch.randint(-padding, padding + 1, (2, count), generator=generator).float()
            return _map(x=shifts_2B[0], y=shifts_2B[1])
        case _:
            assert_never(op)


def _map(
    *,
    a: Tensor | None = None,
    b: Tensor | None = None,
    c: Tensor | None = None,
    d: Tensor | None = None,
    x: Tensor | None = None,
    y: Tensor | None = None,
) -> Tensor:
    """[[a, b, x], [c, d, y], [0, 0, 1]]; what is not given is as in the identity."""
    given = [part for part in (a, b, c, d, x, y) if part is not None]
    maps_B33 = torch.eye(3).repeat(len(given[0]), 1, 1)
    for part, row, column in ((a, 0, 0), (b, 0, 1), (x, 0, 2), (c, 1, 0), (d, 1, 1), (y, 1, 2)):
        if part is not None:
            maps_B33[:, row, column] = part
    return maps_B33


def _sign(count: int, p: float, generator: Generator) -> Tensor:
    return 1 - 2 * (torch.rand(count, generator=generator) < p).float()


def _rotation(degrees_B: Tensor) -> Tensor:
    radians_B = degrees_B.deg2rad()
    cosine_B, sine_B = radians_B.cos(), radians_B.sin()
    return _map(a=cosine_B, b=sine_B, c=-sine_B, d=cosine_B)


def _affine(op: Affine, count: int, size: tuple[int, int], generator: Generator) -> Tensor:
    height, width = size
    degrees_B = uniform(count, -op.degrees, op.degrees, generator)
    shear_B = uniform(count, -op.shear, op.shear, generator)
    zoom_B = uniform(count, *op.scale, generator)
    right_B = (uniform(count, -1, 1, generator) * op.translate[0] * width).round()
    down_B = (uniform(count, -1, 1, generator) * op.translate[1] * height).round()
    return affine_map(degrees_B, shear_B, zoom_B, right_B, down_B)


def affine_map(degrees_B: Tensor, shear_B: Tensor, zoom_B: Tensor, right_B: Tensor, down_B: Tensor) -> Tensor:
    """The inverse of translate * rotate * shear along x * scale (torchvision's `_get_inverse_affine_matrix`)."""
    radians_B, slope_B = degrees_B.deg2rad(), shear_B.deg2rad().tan()
    cosine_B, sine_B = radians_B.cos(), radians_B.sin()
    a_B, b_B = (cosine_B - slope_B * sine_B) / zoom_B, (sine_B + slope_B * cosine_B) / zoom_B
    c_B, d_B = -sine_B / zoom_B, cosine_B / zoom_B
    x_B, y_B = -(a_B * right_B + b_B * down_B), -(c_B * right_B + d_B * down_B)
    return _map(a=a_B, b=b_B, c=c_B, d=d_B, x=x_B, y=y_B)


def _resized_crop(op: ResizedCrop, count: int, size: tuple[int, int], generator: Generator) -> Tensor:
    height, width = size
    boxes = random_boxes(
        count,
        size,
        op.scale,
        op.ratio,
        lambda high, wide: (high >= 1) & (high <= height) & (wide >= 1) & (wide <= width),
        generator,
    )
    other = _central_crop(op, size)
    top_B, left_B, high_B, wide_B = (
        torch.where(boxes.valid_B, random, fixed)
        for random, fixed in zip((boxes.top_B, boxes.left_B, boxes.height_B, boxes.width_B), other, strict=True)
    )
    return _map(
        a=wide_B / width,
        d=high_B / height,
        x=left_B + (wide_B - width) / 2,
        y=top_B + (high_B - height) / 2,
    )


def _central_crop(op: ResizedCrop, size: tuple[int, int]) -> tuple[float, float, float, float]:
    """Top, left, height, width of the box that torchvision falls back on when ten attempts gave none."""
    height, width = size
    wide = min(width, round(height * max(op.ratio))) if width / height > max(op.ratio) else width
    high = min(height, round(width / min(op.ratio))) if width / height < min(op.ratio) else height
    return math.floor((height - high) / 2), math.floor((width - wide) / 2), high, wide
