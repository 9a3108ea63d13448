"""Random parameters of augmentations, made on the host: it knows which samples change without waiting for a GPU.

Shapes: B samples, T attempts.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

ATTEMPTS = 10
"""How many random boxes torchvision tries before it gives up."""


def uniform(shape: int | tuple[int, ...], low: float, high: float, generator: Generator) -> Tensor:
    """Float32 numbers between `low` and `high`."""
    return torch.rand(shape, generator=generator).mul_(high - low).add_(low)


def selected(count: int, p: float, generator: Generator) -> Tensor:
    """Positions of the samples that an operation of probability `p` is applied to."""
    return (torch.rand(count, generator=generator) < p).nonzero().flatten()


@dataclass(frozen=True, slots=True)
class Boxes:
    """One box a sample in whole pixels; `valid_B` is false where no attempt gave one."""

    top_B: Tensor
    left_B: Tensor
    height_B: Tensor
    width_B: Tensor
    valid_B: Tensor


def random_boxes(
    count: int,
    size: tuple[int, int],
    scale: tuple[float, float],
    ratio: tuple[float, float],
    fits: Callable[[Tensor, Tensor], Tensor],
    generator: Generator,
) -> Boxes:
    """Boxes of random area (`scale`, a share of the image's `size`), aspect (`ratio`, width over height, uniform in its
    logarithm) and place: torchvision's rejection sampling, all attempts at once.

    `fits(height_BT, width_BT)` says which attempts count; the first of them does.
    """
    height, width = size
    area_BT = uniform((count, ATTEMPTS), scale[0], scale[1], generator).mul_(height * width)
    aspect_BT = uniform((count, ATTEMPTS), math.log(ratio[0]), math.log(ratio[1]), generator).exp_()
    heights_BT, widths_BT = (area_BT / aspect_BT).sqrt().round(), (area_BT * aspect_BT).sqrt().round()
    fits_BT = fits(heights_BT, widths_BT)
    first_B1 = fits_BT.int().argmax(1, keepdim=True)
    height_B = heights_BT.gather(1, first_B1).flatten().clamp(0, height)
    width_B = widths_BT.gather(1, first_B1).flatten().clamp(0, width)
    top_B = (torch.rand(count, generator=generator) * (height - height_B + 1)).floor()
    left_B = (torch.rand(count, generator=generator) * (width - width_B + 1)).floor()
    return Boxes(top_B, left_B, height_B, width_B, fits_BT.any(1))


def inside(boxes: Boxes, size: tuple[int, int]) -> Tensor:
    """mask_BHW: true for the pixels inside each sample's box."""
    rows_H, columns_W = (torch.arange(length) for length in size)
    down_BH = (rows_H >= boxes.top_B[:, None]) & (rows_H < (boxes.top_B + boxes.height_B)[:, None])
    along_BW = (columns_W >= boxes.left_B[:, None]) & (columns_W < (boxes.left_B + boxes.width_B)[:, None])
    return down_BH[:, :, None] & along_BW[:, None, :]
