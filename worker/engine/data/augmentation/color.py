"""ColorJitter and Grayscale on batches of images between 0 and 1, each sample with its own factors and its own order.

Brightness, contrast and saturation are one formula: a blend of the image with black, with its mean gray, with its own
gray. Gray images have no saturation and no hue; these parts leave them as they are, as torchvision does.
"""

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from service.specs.augmentation import ColorJitter, Grayscale
from worker.engine.data.augmentation.random_parameters import selected, uniform

ColorOp = ColorJitter | Grayscale
GRAY = (0.2989, 0.587, 0.114)
"""Luma weights of ITU-R 601-2 for red, green and blue, as torchvision rounds them."""


def apply_color(op: ColorOp, images_BCHW: Tensor, generator: Generator) -> Tensor:
    """The changed images; the given ones stay as they are."""
    if isinstance(op, ColorJitter):
        return jitter(op, images_BCHW, generator)
    which = selected(len(images_BCHW), op.p, generator)
    if images_BCHW.shape[1] != 3 or not len(which):
        return images_BCHW
    which = which.to(images_BCHW.device)
    gray_b3HW = gray(images_BCHW.index_select(0, which)).expand(-1, 3, -1, -1)
    return images_BCHW.index_copy(0, which, gray_b3HW)


def gray(images_BCHW: Tensor) -> Tensor:
    """Luma as gray_B1HW; images that are not RGB give the mean of their channels."""
    if images_BCHW.shape[1] != 3:
        return images_BCHW.mean(1, keepdim=True)
    red, green, blue = torch.split(images_BCHW, 1, dim=1)
    return (red * GRAY[0]).add_(green, alpha=GRAY[1]).add_(blue, alpha=GRAY[2])


@dataclass(frozen=True)
class _Part:
    """One part of a jitter: its range of factors (hue: of shifts), and how much of which gray it blends with."""

    low: float
    high: float
    own_gray: float = 0.0
    mean_gray: float = 0.0
    is_hue: bool = False


def _parts(op: ColorJitter, channels: int) -> list[_Part]:
    """The parts that change anything; factors are uniform between max(0, 1 - x) and 1 + x."""
    color = channels == 3
    parts = [
        (op.brightness, _Part(max(0.0, 1 - op.brightness), 1 + op.brightness)),
        (op.contrast, _Part(max(0.0, 1 - op.contrast), 1 + op.contrast, mean_gray=1.0)),
        (op.saturation * color, _Part(max(0.0, 1 - op.saturation), 1 + op.saturation, own_gray=1.0)),
        (op.hue * color, _Part(-op.hue, op.hue, is_hue=True)),
    ]
    return [part for strength, part in parts if strength]


def jitter(op: ColorJitter, images_BCHW: Tensor, generator: Generator) -> Tensor:
    """Each sample goes through the parts in an order of its own; values are clamped to 0..1 after each."""
    parts = _parts(op, images_BCHW.shape[1])
    if not parts:
        return images_BCHW
    count, device = len(images_BCHW), images_BCHW.device
    sampled_BP = torch.stack([uniform(count, part.low, part.high, generator) for part in parts], 1)
    order_BP = torch.rand(sampled_BP.shape, generator=generator).argsort(1)
    is_hue_P = torch.tensor([part.is_hue for part in parts])
    factors_BP = torch.where(is_hue_P, 1.0, sampled_BP).gather(1, order_BP).to(device)
    own_BP = torch.tensor([part.own_gray for part in parts])[order_BP].to(device)
    mean_BP = torch.tensor([part.mean_gray for part in parts])[order_BP].to(device)
    for turn in range(len(parts)):
        factor_B111, own_B111, mean_B111 = (x_BP[:, turn, None, None, None] for x_BP in (factors_BP, own_BP, mean_BP))
        images_BCHW = blend(images_BCHW, factor_B111, own_B111, mean_B111)
        which = is_hue_P[order_BP[:, turn]].nonzero().flatten()
        if len(which):
            shifts_b = sampled_BP[which, -1].to(device)  # hue is the last part
            which = which.to(device)
            images_BCHW.index_copy_(0, which, shift_hue(images_BCHW.index_select(0, which), shifts_b))
    return images_BCHW


def blend(images_BCHW: Tensor, factor_B111: Tensor, own_B111: Tensor, mean_B111: Tensor) -> Tensor:
    """`factor * image + (1 - factor) * target`, clamped; the target is own * gray + mean * mean gray (else black)."""
    gray_B1HW = gray(images_BCHW)
    target_B1HW = torch.addcmul(mean_B111 * gray_B1HW.mean((2, 3), keepdim=True), own_B111, gray_B1HW)
    return torch.addcmul(target_B1HW.mul_(1 - factor_B111), images_BCHW, factor_B111).clamp_(0, 1)


def shift_hue(images_B3HW: Tensor, shifts_B: Tensor) -> Tensor:
    """Turns each sample's hue by `shifts_B` full circles, in HSV: channel n is V - C * clamp(min(k, 4 - k), 0, 1) with
    k = (n + 6 H) mod 6 for n = 5, 3, 1 (red, green, blue).
    """
    red, green, blue = torch.split(images_B3HW, 1, dim=1)
    value, least = images_B3HW.amax(1, keepdim=True), images_B3HW.amin(1, keepdim=True)
    chroma = value - least
    is_red = (value == red).float()
    is_green = (value == green).float().mul_(1 - is_red)
    is_blue = 1 - is_red - is_green  # products of masks are several times faster than torch.where on a CPU
    sector = torch.addcmul(torch.addcmul(is_red * (green - blue), is_green, blue - red), is_blue, red - green)
    sector = sector.div_(chroma.clamp_min(1e-12)).add_(is_green, alpha=2).add_(is_blue, alpha=4)
    offsets_131 = torch.tensor([5.0, 3.0, 1.0], device=images_B3HW.device).view(1, 3, 1, 1)
    k = (sector + 6 * shifts_B.view(-1, 1, 1, 1) + offsets_131).remainder_(6)
    return value - chroma * torch.minimum(k, 4 - k).clamp_(0, 1)
