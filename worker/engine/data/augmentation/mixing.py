"""What comes after normalisation: RandomErasing, and mixup and cutmix with their soft labels."""

import torch
from torch import Generator, Tensor, nn

from service.specs.augmentation import Cutmix, Erasing, Mixup
from worker.engine.data.augmentation.random_parameters import Boxes, inside, random_boxes, selected

MixOp = Mixup | Cutmix


def erase(op: Erasing, images_BCHW: Tensor, generator: Generator) -> Tensor:
    """Sets a random box of some samples to zero, which is the mean color; the given images stay as they are."""
    size = (images_BCHW.shape[2], images_BCHW.shape[3])
    which = selected(len(images_BCHW), op.p, generator)
    # torchvision gives erasing's ratio as height over width, here it is the other way round
    ratio = (1 / op.ratio[1], 1 / op.ratio[0])
    boxes = random_boxes(
        len(which), size, op.scale, ratio, lambda high, wide: (high < size[0]) & (wide < size[1]), generator
    )
    mask_bHW = inside(boxes, size) & boxes.valid_B[:, None, None]
    device = images_BCHW.device
    which, mask_b1HW = which.to(device), mask_bHW[:, None].to(device)
    return images_BCHW.index_copy(0, which, images_BCHW.index_select(0, which).masked_fill_(mask_b1HW, 0))


def mix(
    ops: tuple[MixOp, ...], images_BCHW: Tensor, labels_B: Tensor, classes: int, generator: Generator
) -> tuple[Tensor, Tensor]:
    """Blends each sample with a random other one; returns images_BCHW and targets_BK.

    With several operations each sample goes through one of them, chosen evenly (torchvision's RandomChoice), with that
    one's probability.
    """
    count, _, height, width = images_BCHW.shape
    partner_B = torch.randperm(count, generator=generator)
    which_B = torch.randint(len(ops), (count,), generator=generator)
    weight_B1HW, share_B = torch.ones(count, 1, height, width), torch.ones(count)
    for number, op in enumerate(ops):
        mine = ((which_B == number) & (torch.rand(count, generator=generator) < op.p)).nonzero().flatten()
        own_b = beta(op.alpha, len(mine), generator)
        if isinstance(op, Mixup):
            weight_B1HW[mine], share_B[mine] = own_b.view(-1, 1, 1, 1), own_b
        else:
            outside_bHW = ~inside(cut_boxes(own_b, (height, width), generator), (height, width))
            weight_B1HW[mine, 0] = outside_bHW.float()
            share_B[mine] = outside_bHW.float().mean((1, 2))
    device = images_BCHW.device
    partner_B, weight_B1HW, share_B = partner_B.to(device), weight_B1HW.to(device), share_B.to(device)
    onehot_BK = nn.functional.one_hot(labels_B, classes).float()
    return (
        torch.lerp(images_BCHW[partner_B], images_BCHW, weight_B1HW),
        torch.lerp(onehot_BK[partner_B], onehot_BK, share_B[:, None]),
    )


def beta(alpha: float, count: int, generator: Generator) -> Tensor:
    """Numbers of Beta(alpha, alpha), each the share of one of two gamma variates (float64: small alphas underflow)."""
    gammas_2B = torch._standard_gamma(torch.full((2, count), alpha, dtype=torch.float64), generator=generator)
    return (gammas_2B[0] / gammas_2B.sum(0)).nan_to_num(0.5).float()


def cut_boxes(own_B: Tensor, size: tuple[int, int], generator: Generator) -> Boxes:
    """CutMix's boxes: 1 - own of the area, centred anywhere, cut off at the image's edges."""
    edges = []
    for length in size:
        centre_B = torch.randint(length, own_B.shape, generator=generator)
        half_B = ((1 - own_B).sqrt() * (length / 2)).trunc()
        edges.append(((centre_B - half_B).clamp(min=0), (centre_B + half_B).clamp(max=length)))
    (top_B, bottom_B), (left_B, right_B) = edges
    return Boxes(top_B, left_B, bottom_B - top_B, right_B - left_B, torch.ones_like(own_B, dtype=torch.bool))
